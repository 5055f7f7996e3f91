// A courtroom screen's state as one value, and what each event makes of it. Pure. The public reads this screen: what is not known is not shown.

import type { Other, Screen, ToDisplay, Visit } from "./messages";
import type { Word } from "./words/en";

export interface DisplayPage {
  /** What the courtroom has said; null while the connection is lost, for then nobody knows whether it still holds. */
  screen: Screen | null;
  /** Whose picture is on each line. */
  tiles: string[];
  /** Whether the connection has ever stood. */
  stood: boolean;
}

export type DisplayEvent = { e: "lost" } | { e: "said"; message: ToDisplay };

export const DISPLAY_BEGIN: DisplayPage = { screen: null, tiles: [], stood: false };

export function reduceDisplay(page: DisplayPage, event: DisplayEvent): DisplayPage {
  if (event.e === "lost") return { ...page, screen: null, tiles: [] };
  const { message } = event;
  switch (message.m) {
    case "screen":
      return { ...page, screen: message, stood: true };
    case "tiles":
      return { ...page, tiles: message.shown };
    case "answer":
    case "refused":
    case "bye":
      return page;
  }
}

/** Whether the call is over by this message, and another is to be made: a screen has nobody who could press a button. */
export const endsCall = (message: ToDisplay): boolean => message.m === "bye" || message.m === "refused";

export interface DisplayBanner {
  kind: "stop" | "trouble" | "told" | "calm";
  word: Word;
  values?: Record<string, string>;
}

/** What stands above them where this courtroom is in the hearing of another one, and not on its floor. */
const VISITS: Record<Exclude<Visit, "" | "hearing">, DisplayBanner> = {
  lost: { kind: "trouble", word: "visit_lost" },
  lobby: { kind: "stop", word: "visit_lobby" },
  private: { kind: "stop", word: "visit_private" },
  isolated: { kind: "stop", word: "visit_apart" },
  dismissed: { kind: "stop", word: "visit_apart" },
  removed: { kind: "stop", word: "visit_apart" },
};

/** What stands above the pictures. None of it can be hidden. */
export function displayBanners({ screen, stood }: DisplayPage): DisplayBanner[] {
  if (screen === null) return [{ kind: "trouble", word: stood ? "display_lost" : "connecting" }];
  const visit = screen.visit ?? "";
  if (visit !== "" && visit !== "hearing") return [VISITS[visit]];
  const found: DisplayBanner[] = [
    screen.unsure === "room" ? { kind: "stop", word: "display_unknown" }
      : { kind: screen.room === "open" ? "calm" : "stop", word: `display_${screen.room}` },
  ];
  if (screen.unsure === "recording") found.push({ kind: "stop", word: "recording_unknown" });
  if (visit === "hearing") found.push({ kind: "told", word: "visit_hearing" });
  if (screen.closed) found.push({ kind: "told", word: "not_public" });
  if (screen.look_ins.length > 0) found.push({ kind: "told", word: "look_in", values: { names: screen.look_ins.join(", ") } });
  if (screen.audience === true) found.push({ kind: "told", word: "large_audience" });
  return found;
}

/** `unknown`: the lamp is not shown, neither red nor off. */
export function lamp({ screen }: DisplayPage): "on" | "off" | "unknown" {
  if (screen === null || screen.visit === "lost" || (screen.unsure ?? "") !== "") return "unknown";
  return screen.recording ? "on" : "off";
}

/** The courtroom whose hearing this one takes part in: it has a picture, and neither a name nor a role. */
const HOST: Other = { person: "room", name: "", role: "judge", muted: false, hand: false };

export interface DisplayTile {
  /** The line that carries it. */
  line: number;
  shown: string;
  /** Whose picture it is, or whose screen. */
  person: Other;
  large: boolean;
}

/** The pictures to show: of those alone whom the courtroom has named. */
export function displayTiles({ screen, tiles }: DisplayPage): DisplayTile[] {
  if (screen === null) return [];
  return tiles.flatMap((shown, line) => {
    if (shown === "room") return screen.visit ? [{ line, shown, person: HOST, large: false }] : [];
    const wanted = shown === "screen" ? screen.sharing : shown;
    const person = screen.people.find((one) => one.person === wanted);
    return person === undefined ? [] : [{ line, shown, person, large: shown === "screen" }];
  });
}

/** Those who take part without a picture here. */
export function displayOthers(page: DisplayPage): Other[] {
  const pictured = new Set(displayTiles(page).filter((one) => !one.large).map((one) => one.person.person));
  return page.screen?.people.filter((one) => !pictured.has(one.person)) ?? [];
}
