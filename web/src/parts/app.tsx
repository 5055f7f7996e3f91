import { useEffect, useState } from "preact/hooks";

import type { Session } from "../session";
import { Banners } from "./banners";
import { Body } from "./body";
import { Leave } from "./leave";
import { Top, useLanguage } from "./top";
import { UiContext } from "./ui";

/** The frame: title, language, what must be told, and whatever the state asks for. */
export function App({ session }: { session: Session }) {
  const chosen = useLanguage();
  const [, setCount] = useState(0);
  useEffect(() => {
    const look = (): void => setCount((count) => count + 1);
    look(); // something may have happened since the first drawing
    return session.subscribe(look);
  }, [session]);
  const { page } = session;
  const { language, say } = chosen;
  return (
    <UiContext.Provider value={{ page, session, say, language }}>
      <Top title={page.welcome?.title || say("title")} chosen={chosen}>{page.screen === "in" && <Leave />}</Top>
      <Banners />
      <main><Body /></main>
    </UiContext.Provider>
  );
}
