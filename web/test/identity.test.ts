import { describe, expect, it } from "vitest";

import { identityBegin, identityEndWord, identityLines, reduceIdentity } from "../src/identity_page";
import type { IdentityEvent, IdentityPage } from "../src/identity_page";
import type { Checking, ToIdentity } from "../src/messages";
import { decodeForIdentity } from "../src/messages";

const CHECKING: Checking = { m: "checking", name: "P1", role: "party", step: "face", faces: 0, documents: 0 };
const said = (message: ToIdentity): IdentityEvent => ({ e: "said", message });
const after = (...events: IdentityEvent[]): IdentityPage => events.reduce(reduceIdentity, identityBegin("a-token-of-the-link"));

describe("the screen on which the clerk checks somebody's identity", () => {
  it("shows the person as soon as the picture comes, and not before", () => {
    expect(after(said(CHECKING)).seen).toBe(false);
    expect(after(said(CHECKING), said({ m: "tiles", shown: ["p1"] })).seen).toBe(true);
    expect(after(said(CHECKING), said({ m: "tiles", shown: ["p1"] }), said({ m: "tiles", shown: [""] })).seen).toBe(false);
  });
  it("shows nobody while the connection is lost, and when the check is over", () => {
    const there = [said(CHECKING), said({ m: "tiles", shown: ["p1"] })];
    expect(after(...there, { e: "lost" })).toMatchObject({ phase: "in", checking: null, seen: false });
    const over = after(...there, said({ m: "bye", code: "check_over", again: false }));
    expect(over).toMatchObject({ phase: "over", checking: null, seen: false });
    expect(after(...there, said({ m: "bye", code: "closing", again: true })).phase).toBe("in");
  });
  it("knows that a check is over of which it hears when it dials again", () => {
    const unknown = said({ m: "bye", code: "unknown", again: false });
    expect(after(said(CHECKING), { e: "lost" }, unknown).code).toBe("check_over");
    expect(after(unknown).code).toBe("unknown");
  });
  it("says why, and needs a link", () => {
    expect(["check_over", "check_seen", "unknown", "anything"].map(identityEndWord)).toEqual(["screen_over", "screen_used", "screen_unknown", "end_other"]);
    expect(identityBegin("").phase).toBe("no_link");
  });
  it("tells what the person is asked for, and which stills the record has", () => {
    const told = identityLines({ ...CHECKING, step: "document", faces: 1 });
    expect(told.map(({ word, values }) => [word, values["count"]])).toEqual([["screen_asks_document", undefined], ["screen_face", "1"], ["screen_document", "0"]]);
  });
  it("takes what the courtroom says in its shape alone", () => {
    expect(decodeForIdentity('{"m":"checking","name":"P1","role":"party","step":"face","faces":0,"documents":0}')?.m).toBe("checking");
    expect(decodeForIdentity('{"m":"checking","name":"P1","role":"party","step":"face"}')).toBeNull();
    expect(decodeForIdentity('{"m":"screen"}')).toBeNull();
  });
});
