// The page's language: the one that was chosen, else the first that the browser asks for and this page has. Pure.

import type { Word, Words } from "./words/en";
import { en } from "./words/en";
import { kk } from "./words/kk";
import { ru } from "./words/ru";

export type Language = "kk" | "ru" | "en";
export const LANGUAGES: Record<Language, { own: string; words: Words }> = {
  kk: { own: "Қазақша", words: kk },
  ru: { own: "Русский", words: ru },
  en: { own: "English", words: en },
};
export type Say = (word: Word, values?: Record<string, string>) => string;

export const isLanguage = (name: string | null): name is Language => Object.keys(LANGUAGES).includes(name ?? "");

export function chooseLanguage(kept: string | null, wanted: readonly string[]): Language {
  if (isLanguage(kept)) return kept;
  return wanted.map((tag) => tag.slice(0, 2).toLowerCase()).find(isLanguage) ?? "kk";
}

/** Says words in a language, with values in the places of `{name}`. */
export function sayIn(language: Language): Say {
  const { words } = LANGUAGES[language];
  return (word, values = {}) => words[word].replace(/\{(\w+)\}/g, (place, name: string) => values[name] ?? place);
}

const KAZAKH_MONTHS = ["қаңтар", "ақпан", "наурыз", "сәуір", "мамыр", "маусым", "шілде", "тамыз", "қыркүйек", "қазан", "қараша", "желтоқсан"];

/** A time, for people: in their own time zone, with the day. */
export function sayTime(language: Language, utc_us: number): string {
  if (language === "kk") {
    // Chromium has no words for Kazakh dates, and says "M11".
    const time = new Date(utc_us / 1_000);
    const clock = [time.getHours(), time.getMinutes()].map((part) => String(part).padStart(2, "0")).join(":");
    return `${time.getFullYear()} жылғы ${time.getDate()} ${KAZAKH_MONTHS[time.getMonth()] ?? ""}, ${clock}`;
  }
  return new Intl.DateTimeFormat(language, { dateStyle: "long", timeStyle: "short" }).format(new Date(utc_us / 1_000));
}

/** A language's own or translated name for a channel's code; the code where the browser knows none. */
export function sayLanguage(language: Language, code: string): string {
  if (isLanguage(code)) return LANGUAGES[code].own;
  try {
    return new Intl.DisplayNames([language, "ru"], { type: "language" }).of(code) ?? code;
  } catch {
    return code;
  }
}

/** A word in every language, for a page that many read together; what two languages say alike is said once. */
export function inAll(word: Word, values: Record<string, string> = {}): { language: Language; text: string }[] {
  const all = (Object.keys(LANGUAGES) as Language[]).map((language) => ({ language, text: sayIn(language)(word, values) }));
  return all.filter(({ text }, number) => all.findIndex((one) => one.text === text) === number);
}
