import { describe, expect, it } from "vitest";

import { DISPLAY_BEGIN, displayBanners, displayOthers, displayTiles, endsCall, lamp, reduceDisplay } from "../src/display_page";
import type { DisplayEvent, DisplayPage } from "../src/display_page";
import { inAll } from "../src/language";
import { displayLines } from "../src/lines";
import type { Other, Screen } from "../src/messages";
import { decodeForDisplay } from "../src/messages";

const one = (person: string): Other => ({ person, name: person.toUpperCase(), role: "party", muted: false, hand: false });
const SCREEN: Screen = { m: "screen", title: "7599", room: "open", recording: true, people: [], sharing: "", look_ins: [], closed: false };
const showing = (change: Partial<Screen> = {}): DisplayEvent => ({ e: "said", message: { ...SCREEN, ...change } });
const tiles = (...shown: string[]): DisplayEvent => ({ e: "said", message: { m: "tiles", shown } });
const after = (...events: DisplayEvent[]): DisplayPage => events.reduce(reduceDisplay, DISPLAY_BEGIN);
const words = (page: DisplayPage): string[] => displayBanners(page).map(({ word }) => word);
const shown = (page: DisplayPage): [string, number][] => displayTiles(page).map((tile) => [tile.person.person, tile.line]);

describe("the lamp", () => {
  it("is on while the courtroom says that it records, and off while it says that it does not", () => {
    expect(lamp(after(showing()))).toBe("on");
    expect(lamp(after(showing(), showing({ room: "off_record", recording: false })))).toBe("off");
  });
  it("is neither where nobody knows", () => {
    expect(lamp(DISPLAY_BEGIN)).toBe("unknown");
    expect(lamp(after(showing(), { e: "lost" }))).toBe("unknown");
    expect(lamp(after(showing({ unsure: "recording", recording: false })))).toBe("unknown");
    expect(lamp(after(showing({ unsure: "room" })))).toBe("unknown");
  });
});

describe("the banners", () => {
  it.each(["idle", "open", "off_record", "privileged", "deliberation", "closing"] as const)("tell that the room is %s", (room) => {
    expect(words(after(showing({ room })))).toEqual([`display_${room}`]);
    expect(displayBanners(after(showing({ room })))[0]?.kind).toBe(room === "open" ? "calm" : "stop");
  });
  it("tell what is not known", () => {
    expect(words(after(showing({ unsure: "room" })))).toEqual(["display_unknown"]);
    expect(words(after(showing({ unsure: "recording" })))).toEqual(["display_open", "recording_unknown"]);
  });
  it("tell that the hearing is not public, and who looks in", () => {
    expect(words(after(showing({ audience: true })))).toEqual(["display_open", "large_audience"]);
    expect(words(after(showing({ closed: true, look_ins: ["C. Centre"] })))).toEqual(["display_open", "not_public", "look_in"]);
  });
  it("tell of the connection alone while there is none", () => {
    expect(words(DISPLAY_BEGIN)).toEqual(["connecting"]);
    expect(words(after(showing({ closed: true }), { e: "lost" }))).toEqual(["display_lost"]);
  });
});

describe("a visit to another courtroom's hearing", () => {
  it("is told beside the state of that hearing", () => {
    expect(words(after(showing({ visit: "hearing" })))).toEqual(["display_open", "visit_hearing"]);
    expect(words(after(showing({ visit: "hearing", room: "privileged" })))).toEqual(["display_privileged", "visit_hearing"]);
  });
  it.each([["lobby", "visit_lobby"], ["isolated", "visit_apart"], ["dismissed", "visit_apart"], ["private", "visit_private"]] as const)(
    "that is %s says so, and nothing of a hearing that this courtroom does not hear", (visit, word) => {
      expect(words(after(showing({ visit })))).toEqual([word]);
    },
  );
  it("that is lost has no lamp", () => {
    expect(words(after(showing({ visit: "lost" })))).toEqual(["visit_lost"]);
    expect(lamp(after(showing({ visit: "lost", recording: false })))).toBe("unknown");
  });
  it("shows the other courtroom, which a hearing of its own never does", () => {
    expect(shown(after(showing({ visit: "hearing" }), tiles("room")))).toEqual([["room", 0]]);
    expect(shown(after(showing(), tiles("room")))).toEqual([]);
  });
});

describe("the pictures", () => {
  const people = [one("p1"), one("p2"), one("p3")];
  it("are of those whom the courtroom names, each from its line", () => {
    const page = after(showing({ people }), tiles("p2", "", "p1"));
    expect(shown(page)).toEqual([["p2", 0], ["p1", 2]]);
    expect(displayOthers(page)).toEqual([one("p3")]);
  });
  it("are of nobody whom the courtroom names no more, whichever message comes first", () => {
    expect(shown(after(showing({ people }), tiles("p1", "p2"), showing({ people: [one("p2")] })))).toEqual([["p2", 1]]);
    expect(shown(after(showing({ people }), tiles("p1", "p2"), tiles("", "p2")))).toEqual([["p2", 1]]);
  });
  it("are none after the connection is lost", () => {
    expect(displayTiles(after(showing({ people }), tiles("p1"), { e: "lost" }))).toEqual([]);
    expect(displayTiles(after(showing({ people }), tiles("p1"), { e: "lost" }, showing({ people })))).toEqual([]);
  });
  it("have the shared screen large, with the name of whoever shows it, who is seen as well", () => {
    const page = after(showing({ people, sharing: "p1" }), tiles("screen", "p1"));
    expect(displayTiles(page).map(({ person, large }) => [person.person, large])).toEqual([["p1", true], ["p1", false]]);
  });
  it("come by six lines, and no sound", () => {
    expect(displayLines()).toEqual(Array.from({ length: 6 }, () => ({ kind: "video", direction: "recvonly" })));
  });
});

describe("what the courtroom says", () => {
  it("is taken in its shape alone", () => {
    expect(decodeForDisplay(JSON.stringify(SCREEN))).toEqual(SCREEN);
    expect(decodeForDisplay(JSON.stringify({ ...SCREEN, recording: "yes" }))).toBeNull();
    expect(decodeForDisplay('{"m":"view"}')).toBeNull();
  });
  it("ends a call where it cannot go on, so that another is made", () => {
    expect(endsCall({ m: "bye", code: "closing", again: false })).toBe(true);
    expect(endsCall({ m: "refused", code: "no_h264" })).toBe(true);
    expect(endsCall(SCREEN)).toBe(false);
  });
});

it("says a word in every language, and once what two say alike", () => {
  expect(inAll("display_recorded").map(({ language }) => language)).toEqual(["kk", "ru", "en"]);
  expect(inAll("role_judge").map(({ text }) => text)).toEqual(["судья", "judge"]);
});
