import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { BEGIN, reduce } from "../src/page";
import type { Event } from "../src/page";
import { Session } from "../src/session";

class Track {
  enabled = true;
  readyState: MediaStreamTrackState = "live";
  muted = false;
  contentHint = "";
  constructor(readonly kind: "audio" | "video") {}
  stop(): void {
    this.readyState = "ended";
  }
}

/** What the browser is asked for, and answers when it is told to. */
class Asked {
  readonly answers: Array<(track: Track) => void> = [];
  ask = (): Promise<MediaStream> =>
    new Promise((resolve) => {
      this.answers.push((track) => {
        const of = (kind: string): Track[] => (track.kind === kind ? [track] : []);
        resolve({ getTracks: () => [track], getAudioTracks: () => of("audio"), getVideoTracks: () => of("video") } as unknown as MediaStream);
      });
    });
}

const THERE: Event[] = [
  { e: "own", own: { microphone: "on", camera: "on" } },
  { e: "dial" },
  { e: "said", message: { m: "welcome", person: "p1", name: "A. Omarova", role: "party", title: "7599", resume: "r", ice: [] } },
  {
    e: "said",
    message: {
      m: "view", place: "hearing", room: "open", muted: false, hand: false, others: [], consultation: false, sharing: "", look_ins: [],
      channels: [], listens: "", identity: "",
    },
  },
];
let asked: Asked;
let session: Session;

beforeEach(() => {
  asked = new Asked();
  vi.stubGlobal("location", { hash: "" });
  vi.stubGlobal("window", { isSecureContext: true });
  vi.stubGlobal("document", {
    addEventListener: () => undefined, createElement: () => ({ setAttribute: () => undefined }), body: { append: () => undefined },
    visibilityState: "visible",
  });
  vi.stubGlobal("navigator", { mediaDevices: { getUserMedia: asked.ask, getDisplayMedia: asked.ask } });
  session = new Session();
  session.page = THERE.reduce(reduce, BEGIN);
});
afterEach(() => vi.unstubAllGlobals());

describe("another device that is chosen", () => {
  it.each(["microphone", "camera"] as const)("switches on no %s that was switched off", async (kind) => {
    await session.toggle(kind);
    await session.changeDevice(kind);
    expect([session.page.own[kind], session.media[kind], asked.answers.length]).toEqual(["off", null, 0]);
  });
  it.each(["microphone", "camera"] as const)("leaves off the %s that is switched off while the browser opens it", async (kind) => {
    const track = new Track(kind === "microphone" ? "audio" : "video");
    const changed = session.changeDevice(kind);
    await session.toggle(kind);
    asked.answers[0]?.(track);
    await changed;
    expect(session.page.own[kind]).toBe("off");
    expect(track.enabled && track.readyState === "live").toBe(false);
  });
  it.each(["microphone", "camera"] as const)("takes the place of the %s that is on", async (kind) => {
    const track = new Track(kind === "microphone" ? "audio" : "video");
    const changed = session.changeDevice(kind);
    asked.answers[0]?.(track);
    await changed;
    expect([session.page.own[kind], session.media[kind], track.enabled]).toEqual(["on", track, true]);
  });
});

describe("a screen that is picked", () => {
  it("is shown on the floor", async () => {
    const shared = session.share();
    asked.answers[0]?.(new Track("video"));
    await shared;
    expect(session.page.own.screen).toBe("asked");
  });
  it.each([{ e: "leave" }, { e: "said", message: { m: "bye", code: "hearing_over", again: false } }] satisfies Event[])(
    "after the end is let go of ($e)",
    async (end) => {
      const track = new Track("video");
      const shared = session.share();
      session.page = reduce(session.page, end);
      asked.answers[0]?.(track);
      await shared;
      expect([session.page.own.screen, session.media.screen, track.readyState]).toEqual(["no", null, "ended"]);
    },
  );
});
