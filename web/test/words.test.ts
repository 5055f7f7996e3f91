import { describe, expect, it } from "vitest";

import { LANGUAGES, chooseLanguage, sayIn, sayLanguage, sayTime } from "../src/language";
import type { Language } from "../src/language";
import { en } from "../src/words/en";

const places = (text: string): string[] => [...text.matchAll(/\{\w+\}/g)].map(([place]) => place).sort();

describe.each(Object.keys(LANGUAGES) as Language[])("words in %s", (language) => {
  const { words } = LANGUAGES[language];

  it("has the keys of English, in its order", () => {
    expect(Object.keys(words)).toEqual(Object.keys(en));
  });
  it("has no empty words", () => {
    expect(Object.entries(words).filter(([, text]) => text.trim() === "" || text !== text.trim())).toEqual([]);
  });
  it("has the same places for values", () => {
    for (const [key, text] of Object.entries(en)) expect([key, places(words[key as keyof typeof en])]).toEqual([key, places(text)]);
  });
});

it("says nothing in English where another language is chosen", () => {
  for (const language of ["kk", "ru"] as const) {
    const same = Object.entries(LANGUAGES[language].words).filter(([key, text]) => text === en[key as keyof typeof en]);
    expect(same.map(([key]) => key)).toEqual(["device_numbered"]); // it has no word of its own
  }
});

it("has the letters that only Kazakh has, and none of them in Russian", () => {
  expect(Object.values(LANGUAGES.kk.words).join("")).toMatch(/[әғқңөұүһі]/);
  expect(Object.values(LANGUAGES.ru.words).join("")).not.toMatch(/[әғқңөұүһі]/);
});

it("names no button of the browser's question for permission: each version has others", () => {
  for (const { words } of Object.values(LANGUAGES)) expect(words.check_hint).not.toMatch(/[“«"]/);
});

it("takes the kept language, else the first wanted one that there is, else Kazakh", () => {
  expect(chooseLanguage("en", ["ru-RU"])).toBe("en");
  expect(chooseLanguage("toString", ["ru-RU"])).toBe("ru");
  expect(chooseLanguage(null, ["de-DE", "RU", "en"])).toBe("ru");
  expect(chooseLanguage(null, ["de-DE"])).toBe("kk");
});

it("puts values in their places, even such as look like places", () => {
  expect(sayIn("en")("private_talk", { names: "A. {names}" })).toBe("Private talk. NOT RECORDED. You are heard only by: A. {names}");
  expect(sayIn("en")("private_talk")).toContain("{names}");
});

it("says times and languages", () => {
  expect(sayTime("ru", Date.UTC(2026, 10, 28, 9, 0) * 1_000)).toMatch(/28 ноября 2026/);
  const time = new Date(2026, 0, 9, 7, 5).getTime() * 1_000;
  expect(sayTime("kk", time)).toBe("2026 жылғы 9 қаңтар, 07:05");
  expect(sayLanguage("en", "kk")).toBe("Қазақша");
  expect(sayLanguage("en", "de")).toBe("German");
  expect(sayLanguage("en", "?")).toBe("?");
});
