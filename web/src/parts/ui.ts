// What every part of the page needs: the state, the words, and whom to ask.

import { createContext } from "preact";
import { useContext } from "preact/hooks";

import type { Language, Say } from "../language";
import type { Page } from "../page";
import type { Session } from "../session";

export interface Ui {
  page: Page;
  session: Session;
  say: Say;
  language: Language;
}

export const UiContext = createContext<Ui | null>(null);

export function useUi(): Ui {
  const ui = useContext(UiContext);
  if (ui === null) throw new Error("a part stands outside of the page");
  return ui;
}
