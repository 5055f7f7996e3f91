import { sayLanguage } from "../language";
import { speaksInto } from "../page";
import { useUi } from "./ui";

/** By whom an interpreter is heard: everybody, or those who chose a language. There before it says anything, so that a change is read out. */
export function SpokenInto() {
  const { page, say, language } = useUi();
  if (page.welcome?.role !== "interpreter") return null;
  const channel = speaksInto(page);
  return (
    <p class={channel === null ? "into hidden" : "into"} role="status">
      {channel !== null && say(channel === "" ? "interprets_floor" : "interprets_channel", { language: sayLanguage(language, channel) })}
    </p>
  );
}
