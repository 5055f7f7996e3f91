// What must be told above everything else, and cannot be hidden. Pure.

import type { Page } from "./page";
import { isChecked, isObserver } from "./page";
import type { Word } from "./words/en";

export interface Banner {
  /** `stop`: nothing is heard, seen or recorded as usual. `private`: a private talk. `trouble`: the connection. `told`: to be known. */
  kind: "stop" | "private" | "trouble" | "told";
  word: Word;
  values?: Record<string, string>;
}

/** After so many failed attempts more is wrong than a moment without network. */
const LONG = 4;

export function banners(page: Page): Banner[] {
  if (page.screen !== "in") return [];
  const found: Banner[] = [];
  if (page.line === "dialling" && page.doubt === null && (page.stood || page.failed > 0)) {
    found.push({ kind: "trouble", word: page.failed >= LONG ? "line_long" : "line_lost" });
  }
  const { view } = page;
  if (view === null) return found;
  if (view.unsure === "room") found.push({ kind: "stop", word: "room_unknown" });
  else if (view.room !== "open") {
    const isApart = view.place !== "hearing" || view.consultation; // whoever is does not hear, and is not heard by, "everybody in the hearing"
    found.push({ kind: "stop", word: view.room === "off_record" && isApart ? "room_off_record_apart" : `room_${view.room}` });
  }
  if (view.unsure === "recording") found.push({ kind: "stop", word: "recording_unknown" });
  if (view.consultation) {
    found.push({ kind: "private", word: "private_talk", values: { names: view.others.map((one) => one.name).join(", ") || "–" } });
  }
  if (isChecked(page)) {
    if (view.identity !== "") found.push({ kind: "told", word: `identity_${view.identity}` });
    if (page.own.camera !== "on") found.push({ kind: "stop", word: "identity_camera" });
  }
  if (view.place !== "hearing" && !view.consultation) return found;
  if (view.muted && !isObserver(page)) found.push({ kind: "stop", word: "muted_by_clerk" });
  if (view.closed === true) found.push({ kind: "told", word: "not_public" });
  if (view.look_ins.length > 0) found.push({ kind: "told", word: "look_in", values: { names: view.look_ins.join(", ") } });
  if (view.audience === true) found.push({ kind: "told", word: "large_audience" });
  if (!page.pictures) found.push({ kind: "told", word: "sound_alone_browser" });
  else if (page.quality !== "good") found.push({ kind: "told", word: page.quality === "small" ? "link_small" : "link_sound" });
  return found;
}
