import { describe, expect, it } from "vitest";

import { lookLines } from "../src/lines";
import { lookBegin, lookEndWord, lookTiles, mayLookAgain, reduceLook, timeLeft } from "../src/look_page";
import type { LookEvent, LookPage } from "../src/look_page";
import type { Screen, ToLookIn } from "../src/messages";
import { decodeForLookIn } from "../src/messages";

const SCREEN: Screen = {
  m: "screen", title: "7599", room: "open", recording: true, sharing: "", look_ins: ["B. Inspector"], closed: false,
  people: [{ person: "p1", name: "P1", role: "party", muted: false, hand: false }],
};
const said = (message: ToLookIn, nowMs = 0): LookEvent => ({ e: "said", message, nowMs });
const after = (...events: LookEvent[]): LookPage => events.reduce(reduceLook, lookBegin("a-token-of-the-link"));
const LOOKING = said({ m: "looking", person: "B. Inspector", left_s: 90, ice: [] }, 1_000);

describe("a page that looks in", () => {
  it("uses nothing of its link before somebody presses, and needs one", () => {
    expect(after().phase).toBe("ask");
    expect(lookBegin("").phase).toBe("no_link");
    expect(after({ e: "begin" }).phase).toBe("in");
  });
  it("counts down to the end by its own clock", () => {
    const page = after({ e: "begin" }, LOOKING);
    expect([1_000, 31_500, 90_999, 200_000].map((now) => timeLeft(page, now))).toEqual(["1:30", "1:00", "0:01", "0:00"]);
  });
  it("shows nothing more when it is over, and dials again where it may", () => {
    const page = after({ e: "begin" }, LOOKING, said(SCREEN), said({ m: "tiles", shown: ["room"] }));
    const over = reduceLook(page, said({ m: "bye", code: "look_in_over", again: false }));
    expect([over.phase, over.screen, lookTiles(over)]).toEqual(["over", null, []]);
    expect(reduceLook(page, said({ m: "bye", code: "closing", again: true })).phase).toBe("in");
    expect(lookTiles(reduceLook(page, { e: "lost" }))).toEqual([]);
  });
  it("is over for whoever has looked in and is not known any more", () => {
    const unknown = said({ m: "bye", code: "unknown", again: false });
    expect(after({ e: "begin" }, LOOKING, { e: "lost" }, unknown)).toMatchObject({ phase: "over", code: "look_in_over" });
    expect(after({ e: "begin" }, unknown)).toMatchObject({ phase: "over", code: "unknown" });
  });
  it("is over where one leaves, and begins again by another press", () => {
    const left = after({ e: "begin" }, LOOKING, said(SCREEN), { e: "leave" });
    expect([left.phase, left.screen, lookEndWord(left.code), mayLookAgain(left.code)]).toEqual(["over", null, "look_gone", true]);
    expect(reduceLook(left, { e: "begin" }).phase).toBe("in");
  });
  it("says why it is over, and offers another press where that may help", () => {
    expect(["look_in_over", "look_in_used", "unknown", "anything"].map(lookEndWord)).toEqual(["look_over", "look_used", "look_unknown", "end_other"]);
    expect(["look_in_over", "look_in_used", "unknown"].map(mayLookAgain)).toEqual([false, false, true]);
  });
  it("shows the room large, and of others those whom the courtroom has named", () => {
    const page = after({ e: "begin" }, said(SCREEN), said({ m: "tiles", shown: ["room", "", "p1", "p2"] }));
    expect(lookTiles(page).map(({ line, word, name, large }) => [line, word, name, large])).toEqual([[0, "room", "", true], [2, null, "P1", false]]);
  });
  it("has the shared screen large instead, with the name of whoever shows it", () => {
    const page = after({ e: "begin" }, said({ ...SCREEN, sharing: "p1" }), said({ m: "tiles", shown: ["room", "screen"] }));
    expect(lookTiles(page).map(({ word, name, large }) => [word, name, large])).toEqual([["room", "", false], ["screen_of", "P1", true]]);
  });
  it("offers to receive alone", () => {
    expect(lookLines(2).map(({ kind, direction }) => [kind, direction])).toEqual([["audio", "recvonly"], ["video", "recvonly"], ["video", "recvonly"]]);
  });
  it("takes what the courtroom says in its shape alone", () => {
    expect(decodeForLookIn('{"m":"looking","person":"B. Inspector","left_s":90,"ice":[]}')?.m).toBe("looking");
    expect(decodeForLookIn('{"m":"looking","person":"B. Inspector","left_s":"90","ice":[]}')).toBeNull();
    expect(decodeForLookIn('{"m":"welcome"}')).toBeNull();
  });
});
