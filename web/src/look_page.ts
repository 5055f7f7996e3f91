// The state of a page that looks in, as one value, and what each event makes of it. Pure.

import type { Looking, Quality, Screen, ToLookIn } from "./messages";
import type { Word } from "./words/en";

export interface LookPage {
  /** `ask`: nothing was used of the link yet. */
  phase: "no_link" | "ask" | "in" | "over";
  /** Why it is over. */
  code: string;
  looking: Looking | null;
  /** When it ends, by this page's clock. */
  endsMs: number;
  /** What the courtroom has said; null while the connection is lost. */
  screen: Screen | null;
  tiles: string[];
  quality: Quality;
  soundLocked: boolean;
}

export type LookEvent =
  | { e: "begin" }
  | { e: "lost" }
  | { e: "leave" }
  | { e: "said"; message: ToLookIn; nowMs: number }
  | { e: "sound_locked"; locked: boolean };

export function lookBegin(token: string): LookPage {
  const phase = token === "" ? "no_link" : "ask";
  return { phase, code: "", looking: null, endsMs: 0, screen: null, tiles: [], quality: "good", soundLocked: false };
}

export function reduceLook(page: LookPage, event: LookEvent): LookPage {
  switch (event.e) {
    case "begin":
      return { ...page, phase: "in", code: "" };
    case "lost":
      return { ...page, screen: null, tiles: [] };
    case "leave":
      return over(page, "left");
    case "sound_locked":
      return { ...page, soundLocked: event.locked };
    case "said":
      return said(page, event.message, event.nowMs);
  }
}

function said(page: LookPage, message: ToLookIn, nowMs: number): LookPage {
  switch (message.m) {
    case "looking":
      return { ...page, looking: message, endsMs: nowMs + message.left_s * 1_000 };
    case "screen":
      return { ...page, screen: message };
    case "tiles":
      return { ...page, tiles: message.shown };
    case "link":
      return { ...page, quality: message.quality };
    case "answer":
      return page;
    case "refused":
      return over(page, message.code);
    case "bye":
      if (message.again) return page;
      // Whoever has looked in has missed why it ended.
      return over(page, message.code === "unknown" && page.looking !== null ? "look_in_over" : message.code);
  }
}

const over = (page: LookPage, code: string): LookPage => ({ ...page, phase: "over", code, screen: null, tiles: [] });

const ENDS: Record<string, Word> = {
  unknown: "look_unknown",
  look_in_over: "look_over",
  look_in_used: "look_used",
  left: "look_gone",
  elsewhere: "end_elsewhere",
  no_h264: "no_webrtc_hint",
};

/** Why it is over. */
export const lookEndWord = (code: string): Word => ENDS[code] ?? "end_other";
/** Whether another press may help: the room may not have had the command yet, another tab was closed, or one has left oneself. */
export const mayLookAgain = (code: string): boolean => code === "unknown" || code === "elsewhere" || code === "left";

/** The time that is left, for people: minutes and seconds. */
export function timeLeft(page: LookPage, nowMs: number): string {
  const seconds = Math.max(0, Math.ceil((page.endsMs - nowMs) / 1_000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

export interface LookTile {
  /** The line, counted among those that take pictures. */
  line: number;
  shown: string;
  word: Word | null;
  name: string;
  large: boolean;
}

/** The pictures to show: the room's, the shared screen, and those of whom the courtroom has named. */
export function lookTiles({ screen, tiles }: LookPage): LookTile[] {
  if (screen === null) return [];
  const hasScreen = tiles.includes("screen");
  return tiles.flatMap((shown, line): LookTile[] => {
    if (shown === "room") return [{ line, shown, word: "room", name: "", large: !hasScreen }];
    const person = screen.people.find((one) => one.person === (shown === "screen" ? screen.sharing : shown));
    if (person === undefined) return [];
    return [{ line, shown, word: shown === "screen" ? "screen_of" : null, name: person.name, large: shown === "screen" }];
  });
}
