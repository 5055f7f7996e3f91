import type { ComponentChildren } from "preact";
import { useEffect, useMemo, useState } from "preact/hooks";

import type { Language, Say } from "../language";
import { LANGUAGES, chooseLanguage, sayIn } from "../language";
import { keep, kept } from "../storage";

interface Chosen {
  language: Language;
  say: Say;
  choose(language: Language): void;
}

/** The page's language: as it was chosen here before, else as the browser wishes. */
export function useLanguage(): Chosen {
  const [language, setLanguage] = useState<Language>(() => chooseLanguage(kept("language"), navigator.languages ?? [navigator.language]));
  useEffect(() => {
    document.documentElement.lang = language;
  }, [language]);
  const choose = (chosen: Language): void => {
    keep("language", chosen);
    setLanguage(chosen);
  };
  const say = useMemo(() => sayIn(language), [language]);
  return { language, say, choose };
}

/** The top of a page: its title, the choice of languages, and what a page has beside them. */
export function Top({ title, chosen, children }: { title: string; chosen: Chosen; children?: ComponentChildren }) {
  useEffect(() => {
    document.title = title;
  }, [title]);
  return (
    <header class="top">
      <p class="title">{title}</p>
      <label class="language">
        <span class="hidden">{chosen.say("language")}</span>
        <select value={chosen.language} onChange={(event) => chosen.choose(event.currentTarget.value as Language)}>
          {Object.entries(LANGUAGES).map(([code, { own }]) => <option key={code} value={code} lang={code}>{own}</option>)}
        </select>
      </label>
      {children}
    </header>
  );
}
