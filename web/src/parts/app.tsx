import { useEffect, useMemo, useState } from "preact/hooks";

import type { Language } from "../language";
import { LANGUAGES, chooseLanguage, sayIn } from "../language";
import type { Session } from "../session";
import { keep, kept } from "../storage";
import { Banners } from "./banners";
import { Body } from "./body";
import { Leave } from "./leave";
import { UiContext } from "./ui";

/** The frame: title, language, what must be told, and whatever the state asks for. */
export function App({ session }: { session: Session }) {
  const [language, setLanguage] = useState<Language>(() => chooseLanguage(kept("language"), navigator.languages ?? [navigator.language]));
  const [, setCount] = useState(0);
  useEffect(() => {
    const look = (): void => setCount((count) => count + 1);
    look(); // something may have happened since the first drawing
    return session.subscribe(look);
  }, [session]);
  const { page } = session;
  const say = useMemo(() => sayIn(language), [language]);
  const title = page.welcome?.title || say("title");
  useEffect(() => {
    document.documentElement.lang = language;
    document.title = title;
  }, [language, title]);

  const change = (event: Event): void => {
    const chosen = (event.currentTarget as HTMLSelectElement).value as Language;
    keep("language", chosen);
    setLanguage(chosen);
  };
  return (
    <UiContext.Provider value={{ page, session, say, language }}>
      <header class="top">
        <p class="title">{title}</p>
        <label class="language">
          <span class="hidden">{say("language")}</span>
          <select value={language} onChange={change}>
            {Object.entries(LANGUAGES).map(([code, { own }]) => <option key={code} value={code} lang={code}>{own}</option>)}
          </select>
        </label>
        {page.screen === "in" && <Leave />}
      </header>
      <Banners />
      <main><Body /></main>
    </UiContext.Provider>
  );
}
