// The state of the screen on which the clerk checks somebody's identity, as one value, and what each event makes of it. Pure.

import type { Checking, ToIdentity } from "./messages";
import type { Word } from "./words/en";

export interface IdentityPage {
  phase: "no_link" | "in" | "over";
  /** Why it is over. */
  code: string;
  /** Who is checked; null while the connection is lost. */
  checking: Checking | null;
  /** Whether the person's picture comes. */
  seen: boolean;
  /** Whether the link has opened the check: one that is not known later is over. */
  opened: boolean;
}

export type IdentityEvent = { e: "lost" } | { e: "said"; message: ToIdentity };

export function identityBegin(token: string): IdentityPage {
  return { phase: token === "" ? "no_link" : "in", code: "", checking: null, seen: false, opened: false };
}

export function reduceIdentity(page: IdentityPage, event: IdentityEvent): IdentityPage {
  if (event.e === "lost") return { ...page, checking: null, seen: false };
  const { message } = event;
  switch (message.m) {
    case "checking":
      return { ...page, checking: message, opened: true };
    case "tiles":
      return { ...page, seen: message.shown.some((shown) => shown !== "") };
    case "answer":
      return page;
    case "refused":
      return over(page, message.code);
    case "bye":
      return message.again ? page : over(page, message.code);
  }
}

function over(page: IdentityPage, told: string): IdentityPage {
  const code = told === "unknown" && page.opened ? "check_over" : told;
  return { ...page, phase: "over", code, checking: null, seen: false };
}

const ENDS: Record<string, Word> = {
  unknown: "screen_unknown",
  check_seen: "screen_used",
  elsewhere: "screen_used",
  check_over: "screen_over",
  no_h264: "no_webrtc_hint",
};

/** Why nobody is shown any more. */
export const identityEndWord = (code: string): Word => ENDS[code] ?? "end_other";

/** What the clerk reads about the person. */
export function identityLines({ step, faces, documents }: Checking): { word: Word; values: Record<string, string> }[] {
  const asks: { word: Word; values: Record<string, string> }[] = step === "" ? [] : [{ word: `screen_asks_${step}`, values: {} }];
  return [
    ...asks,
    { word: "screen_face", values: { count: String(faces) } },
    { word: "screen_document", values: { count: String(documents) } },
  ];
}
