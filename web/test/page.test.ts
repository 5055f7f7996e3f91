import { describe, expect, it } from "vitest";

import { banners } from "../src/banners";
import type { ToPage, View, Welcome } from "../src/messages";
import { BEGIN, isOnFloor, maySpeak, mayBeSeen, mayShowScreen, reduce, speaksInto } from "../src/page";
import type { Event, Page } from "../src/page";

const WELCOME: Welcome = { m: "welcome", person: "witness-1", name: "A. Omarova", role: "witness", title: "7599", resume: "r", ice: [] };
const VIEW: View = {
  m: "view", place: "hearing", room: "open", muted: false, hand: false, others: [], consultation: false, sharing: "", look_ins: [],
  channels: [], listens: "", identity: "",
};
const after = (...events: Event[]): Page => events.reduce(reduce, BEGIN);
const saying = (message: ToPage): Event => ({ e: "said", message });
const THERE: Event[] = [
  { e: "own", own: { microphone: "on", camera: "on" } }, { e: "dial" }, saying(WELCOME), saying(VIEW), { e: "up" },
];
const inView = (change: Partial<View>): Page => after(...THERE, saying({ ...VIEW, ...change }));
const words = (page: Page): string[] => banners(page).map((one) => one.word);

describe("what leaves this page", () => {
  it("is sound and picture on the floor", () => {
    const page = after(...THERE);
    expect([maySpeak(page), mayBeSeen(page), isOnFloor(page)]).toEqual([true, true, true]);
  });
  it.each(["privileged", "deliberation", "closing", "idle"] as const)("is nothing while the room is %s", (room) => {
    for (const consultation of [false, true]) {
      const page = inView({ room, consultation });
      expect([maySpeak(page), mayBeSeen(page)]).toEqual([false, false]);
    }
  });
  it("is nothing while nobody knows the room's state", () => {
    const page = inView({ unsure: "room" });
    expect([maySpeak(page), mayBeSeen(page)]).toEqual([false, false]);
  });
  it.each(["lobby", "isolated", "dismissed", "removed"] as const)("is nothing in the place %s, but in a private talk", (place) => {
    expect([maySpeak(inView({ place })), mayBeSeen(inView({ place }))]).toEqual([false, false]);
    expect([maySpeak(inView({ place, consultation: true })), mayBeSeen(inView({ place, consultation: true }))]).toEqual([true, true]);
  });
  it("is a picture alone, to the clerk, from somebody whose identity is checked in the lobby", () => {
    for (const identity of ["face", "document", "done"] as const) {
      const page = inView({ place: "lobby", identity });
      expect([maySpeak(page), mayBeSeen(page)]).toEqual([false, true]);
    }
    expect(mayBeSeen(inView({ place: "lobby", identity: "face", room: "deliberation" }))).toBe(false);
    expect(mayBeSeen(after(...THERE, saying({ ...VIEW, place: "lobby", identity: "face" }), { e: "own", own: { camera: "off" } }))).toBe(false);
  });
  it("is a picture alone from somebody whom the clerk has muted", () => {
    const page = inView({ muted: true });
    expect([maySpeak(page), mayBeSeen(page)]).toEqual([false, true]);
  });
  it("is nothing before the courtroom has said where one is", () => {
    const page = after({ e: "own", own: { microphone: "on", camera: "on" } }, { e: "dial" }, saying(WELCOME));
    expect([maySpeak(page), mayBeSeen(page)]).toEqual([false, false]);
  });
  it("is nothing of what is turned off, and nothing of an observer", () => {
    const off = after(...THERE, { e: "own", own: { microphone: "off", camera: "off" } });
    const observer = after(...THERE, saying({ ...WELCOME, role: "observer" }));
    for (const page of [off, observer]) expect([maySpeak(page), mayBeSeen(page)]).toEqual([false, false]);
  });
  it("is the sound of a microphone that only seems dead", () => {
    expect(maySpeak(after(...THERE, { e: "own", own: { microphone: "dead" } }))).toBe(true);
  });
});

describe("the shared screen", () => {
  const asked: Event[] = [...THERE, { e: "own", own: { screen: "asked" } }];
  it("is asked for until the courtroom shows it, also while views come that do not know of it", () => {
    expect(after(...asked, saying(VIEW)).own.screen).toBe("asked");
    expect(after(...asked, saying({ ...VIEW, sharing: "witness-1" })).own.screen).toBe("yes");
  });
  it("ends when the courtroom shows it no more", () => {
    const page = after(...asked, saying({ ...VIEW, sharing: "witness-1" }), saying(VIEW));
    expect([page.own.screen, mayShowScreen(page)]).toEqual(["no", false]);
  });
  it("outlives a lost connection: it is asked for anew, whatever the first view after it says", () => {
    const page = after(...asked, saying({ ...VIEW, sharing: "witness-1" }), { e: "lost" }, saying(WELCOME), saying(VIEW), { e: "up" });
    expect(page.own.screen).toBe("asked");
  });
  it("is given up when it is refused, and not when something else is", () => {
    expect(after(...asked, saying({ m: "refused", code: "other_screen" })).own.screen).toBe("no");
    expect(after(...asked, saying({ m: "refused", code: "whatever" })).own.screen).toBe("asked");
  });
});

describe("the connection", () => {
  it("shows what it showed, and no old picture, while it is dialled again", () => {
    const page = after(...THERE, saying({ m: "tiles", shown: ["room"] }), { e: "lost" });
    expect([page.screen, page.line, page.tiles, page.view?.place]).toEqual(["in", "dialling", [], "hearing"]);
    expect(words(page)).toEqual(["line_lost"]);
    expect(words(reduce(page, { e: "up" }))).toEqual([]);
  });
  it("says nothing of a loss before the first attempt has ended", () => {
    expect(words(after({ e: "dial" }))).toEqual([]);
    expect(words(after({ e: "dial" }, { e: "lost" }))).toEqual(["line_lost"]);
  });
  it("says that more is wrong when it stays away", () => {
    expect(words(after(...THERE, ...Array.from({ length: 4 }, (): Event => ({ e: "lost" }))))).toEqual(["line_long"]);
  });
  it("gives the devices up where it ends, and says of none that it is on", () => {
    const none = { microphone: "absent", camera: "absent", screen: "no" };
    expect(after(...THERE, { e: "leave" }).own).toEqual(none);
    expect(after(...THERE, saying({ m: "bye", code: "hearing_over", again: false })).own).toEqual(none);
  });
  it("is not dialled after leaving, nor after a bye without return", () => {
    expect(after(...THERE, { e: "leave" }, { e: "lost" })).toMatchObject({ screen: "left", line: "none", view: null });
    const ended = after(...THERE, saying({ m: "bye", code: "removed", again: false }), { e: "lost" });
    expect(ended).toMatchObject({ screen: "ended", line: "none", view: null, refusal: { code: "removed" } });
    expect(after(...THERE, saying({ m: "bye", code: "restart", again: true }))).toMatchObject({ screen: "in", line: "up" });
  });
  it.each(["unknown", "expired"])("leads to the check where the courtroom does not know the way back (%s)", (code) => {
    expect(after({ e: "dial" }, saying({ m: "bye", code, again: false }))).toMatchObject({ screen: "check", line: "none", view: null });
  });
  it.each(["unknown", "expired"])("is over, and leads to no microphone, for whoever was in and comes back to %s", (code) => {
    const over = after(...THERE, { e: "lost" }, saying({ m: "bye", code, again: false }));
    expect(over).toMatchObject({ screen: "ended", line: "none", view: null, refusal: { code: "gone" } });
    const back = [over, { e: "dial" }, saying({ m: "bye", code, again: false })].reduce((page, event) => reduce(page as Page, event as Event));
    expect(back).toMatchObject({ screen: "check" });
  });
  it("waits where another device holds the seat, until the courtroom shows something", () => {
    const waiting = after({ e: "dial" }, saying(WELCOME), saying({ m: "wait" }));
    expect(waiting).toMatchObject({ waits: true, view: null });
    expect(reduce(waiting, saying(VIEW)).waits).toBe(false);
    expect(reduce(waiting, { e: "leave" }).waits).toBe(false);
  });
  it("goes on with sound alone where the courtroom cannot read the pictures", () => {
    const page = after(...THERE, saying({ m: "refused", code: "no_h264" }));
    expect(page.pictures).toBe(false);
    expect(words(page)).toEqual(["sound_alone_browser"]);
  });
});

describe("banners", () => {
  it.each(["off_record", "privileged", "deliberation", "closing", "idle"] as const)("tell of the room's state %s, in the lobby too", (room) => {
    expect(words(inView({ room }))).toContain(`room_${room}`);
    expect(words(inView({ room, place: "lobby" })).join()).toContain(`room_${room}`);
  });
  it("tell of a break in the record to whoever is apart, and not that he is heard by everybody", () => {
    for (const place of ["lobby", "isolated", "dismissed"] as const) {
      expect(words(inView({ room: "off_record", place }))).toEqual(["room_off_record_apart"]);
    }
    expect(words(inView({ room: "off_record", consultation: true }))).toEqual(["room_off_record_apart", "private_talk"]);
  });
  it("tell what is not known", () => {
    expect(words(inView({ unsure: "room" }))).toEqual(["room_unknown"]);
    expect(words(inView({ unsure: "recording" }))).toEqual(["recording_unknown"]);
  });
  it("tell who hears a private talk", () => {
    const others = [{ person: "a", name: "B. Seitov", role: "counsel", muted: false, hand: false }] as const;
    expect(banners(inView({ consultation: true, place: "lobby", others: [...others] }))).toEqual([
      { kind: "private", word: "private_talk", values: { names: "B. Seitov" } },
    ]);
  });
  it("tell who looks in, that one is muted, and of a weak link", () => {
    const page = reduce(inView({ muted: true, look_ins: ["C. Akhmetov", "D. Li"] }), saying({ m: "link", quality: "sound" }));
    expect(words(page)).toEqual(["muted_by_clerk", "look_in", "link_sound"]);
    expect(banners(page)[1]?.values).toEqual({ names: "C. Akhmetov, D. Li" });
  });
  it("tell that the hearing is not public, to whoever takes part", () => {
    expect(words(inView({ closed: true }))).toEqual(["not_public"]);
    expect(words(inView({ closed: true, place: "lobby" }))).toEqual([]);
  });

  it("tell that a large audience watches, to whoever takes part", () => {
    expect(words(inView({ audience: true }))).toEqual(["large_audience"]);
    expect(words(inView({ audience: true, place: "lobby" }))).toEqual([]);
  });
  it("tell what the clerk, who checks one's identity, wants to see, wherever one is", () => {
    expect(words(inView({ identity: "face" }))).toEqual(["identity_face"]);
    expect(words(inView({ place: "lobby", identity: "document" }))).toEqual(["identity_document"]);
    const dark = after(...THERE, saying({ ...VIEW, place: "lobby", identity: "face" }), { e: "own", own: { camera: "off" } });
    expect(words(dark)).toEqual(["identity_face", "identity_camera"]);
  });
  it("tell nothing where nothing is to be told", () => {
    expect(words(after(...THERE))).toEqual([]);
    expect(words(after({ e: "show", screen: "check" }))).toEqual([]);
  });
});

describe("a page for which nobody has vouched", () => {
  const doubted: Event[] = [
    { e: "dial" }, { e: "lost" }, saying(WELCOME), saying({ ...VIEW, place: "lobby" }),
    { e: "doubted", doubt: { code: "16464626444026686458", sign: true, text: "" } },
  ];
  it("shows its code, and no lost connection", () => {
    const page = after(...doubted);
    expect(page.doubt).toMatchObject({ code: "16464626444026686458", signing: false });
    expect(words(page)).toEqual([]);
  });
  it("shows none any more when somebody has, or when the connection is lost", () => {
    for (const event of [saying({ m: "vouched" }), { e: "lost" }, { e: "leave" }] as Event[]) expect(after(...doubted, event).doubt).toBeNull();
  });
  it("waits for a signature until it is there, or is refused", () => {
    const signing: Event[] = [...doubted, { e: "signing" }];
    expect(after(...signing).doubt?.signing).toBe(true);
    for (const event of [{ e: "not_signed", code: "not_signed" }, saying({ m: "refused", code: "signature_bad" })] as Event[]) {
      const page = after(...signing, event);
      expect([page.doubt?.signing, page.notice === null]).toEqual([false, false]);
    }
  });
  it("ends where somebody else answers", () => {
    const page = after(...doubted, { e: "strange" });
    expect([page.screen, page.refusal?.code, maySpeak(page)]).toEqual(["ended", "strange", false]);
  });
});

describe("whom an interpreter speaks to", () => {
  const into = (view: Partial<View>, role: Welcome["role"] = "interpreter"): string | null =>
    speaksInto(after(...THERE, saying({ ...WELCOME, role }), saying({ ...VIEW, ...view })));

  it("is a language's channel, or everybody", () => {
    expect([into({ interprets: "kk" }), into({ interprets: "" })]).toEqual(["kk", ""]);
  });
  it("is not told where nobody hears the interpreter, where it is a private talk, or where the courtroom does not say", () => {
    const silent: Partial<View>[] = [{ muted: true }, { place: "lobby" }, { room: "deliberation" }, { unsure: "room" }, { consultation: true }];
    for (const view of silent) expect(into({ interprets: "kk", ...view })).toBeNull();
    expect(into({})).toBeNull();
  });
  it("is told to nobody else", () => expect(into({ interprets: "" }, "witness")).toBeNull());
});
