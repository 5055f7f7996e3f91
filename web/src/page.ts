// The page's state as one value, and what each event makes of it. Pure: components show it, session.ts carries out what follows from it.

import type { Quality, Refused, ToPage, View, Welcome } from "./messages";
import { isForgotten } from "./outcomes";
import type { Device, Trouble } from "./permission";

/** `in`: there, or on the way back; what is shown then is the view's. */
export type Screen = "opening" | "no_link" | "insecure" | "no_webrtc" | "in_app" | "check" | "joining" | "refused" | "in" | "left" | "ended";
/** `absent`: there is none, or it is not allowed. `dead`: it seems to give nothing; what it gives nevertheless is sent. */
export type Microphone = "absent" | "off" | "on" | "dead";
export type Camera = "absent" | "off" | "on";
/** `asked`: it is sent, and the courtroom has not said that it shows it. */
export type SharedScreen = "no" | "asked" | "yes";

export interface Own {
  microphone: Microphone;
  camera: Camera;
  screen: SharedScreen;
}

export interface Page {
  screen: Screen;
  own: Own;
  /** Whether media flows: `dialling` from the first attempt on, and after each loss. */
  line: "none" | "dialling" | "up";
  /** Attempts that have failed since the connection last stood. */
  failed: number;
  /** Whether the connection has ever stood. */
  stood: boolean;
  /** Whether pictures can go both ways. */
  pictures: boolean;
  welcome: Welcome | null;
  view: View | null;
  /** Whose picture is on each line from the first tile on. */
  tiles: string[];
  /** Another device of this person holds the seat, and the clerk has not said which it is to be. */
  waits: boolean;
  quality: Quality;
  /** The browser plays no sound until somebody taps. */
  soundLocked: boolean;
  /** Why the link, or the courtroom, does not let in; and the time that belongs to it. */
  refusal: { code: string; at_utc_us: number } | null;
  /** What was asked for and cannot be done. */
  notice: Refused["code"] | null;
  /** What has to be vouched for before media goes: the code for the clerk, or the text that the person signs. */
  doubt: { code: string; sign: boolean; text: string; signing: boolean } | null;
  /** What hinders a device that was asked for. */
  trouble: { what: Trouble; device: Device } | null;
  /** Which app's own browser this is. */
  app: string;
}

export type Event =
  | { e: "show"; screen: Screen; app?: string }
  | { e: "pictures"; can: boolean }
  | { e: "refused"; code: string; at_utc_us: number }
  | { e: "dial" }
  | { e: "up" }
  | { e: "lost" }
  | { e: "said"; message: ToPage }
  | { e: "own"; own: Partial<Own> }
  | { e: "trouble"; trouble: Page["trouble"] }
  | { e: "sound_locked"; locked: boolean }
  | { e: "doubted"; doubt: { code: string; sign: boolean; text: string } }
  | { e: "signing" }
  | { e: "not_signed"; code: string }
  | { e: "strange" }
  | { e: "notice_read" }
  | { e: "leave" };

export const BEGIN: Page = {
  screen: "opening",
  own: { microphone: "absent", camera: "absent", screen: "no" },
  line: "none",
  failed: 0,
  stood: false,
  pictures: true,
  welcome: null,
  view: null,
  tiles: [],
  waits: false,
  quality: "good",
  soundLocked: false,
  refusal: null,
  notice: null,
  doubt: null,
  trouble: null,
  app: "",
};

export function reduce(page: Page, event: Event): Page {
  switch (event.e) {
    case "show":
      return { ...page, screen: event.screen, app: event.app ?? page.app };
    case "pictures":
      return { ...page, pictures: event.can };
    case "refused":
      return { ...page, screen: "refused", refusal: { code: event.code, at_utc_us: event.at_utc_us } };
    case "dial":
      return { ...page, screen: "in", line: "dialling", refusal: null };
    case "up":
      return { ...page, line: "up", failed: 0, stood: true };
    case "lost":
      return page.screen === "in" ? lost(page) : page;
    case "said":
      return said(page, event.message);
    case "own":
      return { ...page, own: { ...page.own, ...event.own } };
    case "trouble":
      return { ...page, trouble: event.trouble };
    case "sound_locked":
      return { ...page, soundLocked: event.locked };
    case "doubted":
      return { ...page, doubt: { ...event.doubt, signing: false } };
    case "signing":
      return { ...page, notice: null, doubt: page.doubt && { ...page.doubt, signing: true } };
    case "not_signed":
      return { ...page, notice: event.code, doubt: page.doubt && { ...page.doubt, signing: false } };
    case "strange":
      return { ...gone(page, "ended"), refusal: { code: "strange", at_utc_us: 0 } };
    case "notice_read":
      return { ...page, notice: null };
    case "leave":
      return gone(page, "left");
  }
}

/** A screen that was shown is asked for again: the courtroom ended it with the connection. */
function lost(page: Page): Page {
  const own: Own = page.own.screen === "yes" ? { ...page.own, screen: "asked" } : page.own;
  return { ...page, line: "dialling", failed: page.failed + 1, tiles: [], quality: "good", doubt: null, own };
}

function said(page: Page, message: ToPage): Page {
  switch (message.m) {
    case "welcome":
      return { ...page, welcome: message };
    case "view":
      return { ...page, view: message, waits: false, own: { ...page.own, screen: screenAfter(page, message) } };
    case "wait":
      return { ...page, view: null, waits: true };
    case "tiles":
      return { ...page, tiles: message.shown };
    case "link":
      return { ...page, quality: message.quality };
    case "refused": {
      const given = page.own.screen === "asked" && (message.code === "other_screen" || message.code === "not_in_hearing");
      const own: Own = given ? { ...page.own, screen: "no" } : page.own;
      const doubt = page.doubt && { ...page.doubt, signing: false };
      return { ...page, notice: message.code, own, doubt, pictures: message.code === "no_h264" ? false : page.pictures };
    }
    case "bye":
      if (message.again) return page;
      // Whoever was in has missed why it ended. For anybody else the link may do where the way back does not: by another press.
      if (isForgotten(message.code) && page.view === null) return gone(page, "check");
      if (isForgotten(message.code)) return { ...gone(page, "ended"), refusal: { code: "gone", at_utc_us: 0 } };
      return { ...gone(page, "ended"), refusal: { code: message.code, at_utc_us: 0 } };
    case "vouched":
      return { ...page, doubt: null, notice: null };
    case "answer":
    case "unvouched":
    case "shown":
    case "pong":
      return page;
  }
}

/** The courtroom has the last word on whether a screen is shown; it may not have heard yet that this one asks. */
function screenAfter(page: Page, view: View): SharedScreen {
  const { screen } = page.own;
  if (screen === "no") return "no";
  if (view.sharing !== "" && view.sharing === page.welcome?.person) return "yes";
  return screen === "asked" ? "asked" : "no";
}

function gone(page: Page, screen: Screen): Page {
  const own: Own = screen === "check" ? { ...page.own, screen: "no" } : BEGIN.own; // devices are given up but for the check
  return {
    ...page, screen, line: "none", failed: 0, stood: false, view: null, tiles: [], waits: false, quality: "good", notice: null, doubt: null, trouble: null,
    own,
  };
}

/** Whether somebody could hear or see this person now, by what the courtroom has said. A page that does not know stays silent. */
function isTalking(page: Page): boolean {
  const { view } = page;
  if (page.screen !== "in" || view === null || page.welcome === null || page.welcome.role === "observer") return false;
  return (view.room === "open" || view.room === "off_record") && view.unsure !== "room" && (view.place === "hearing" || view.consultation);
}

/** Whether the microphone's sound may leave this page. */
export function maySpeak(page: Page): boolean {
  const { microphone } = page.own;
  return isTalking(page) && (microphone === "on" || microphone === "dead") && page.view?.muted === false;
}

/** Whether the clerk, and nobody else, wants to see who this person is. */
export function isChecked(page: Page): boolean {
  const { view } = page;
  return page.screen === "in" && view !== null && view.identity !== "" && view.room === "open" && !isObserver(page);
}

/** Whether the camera's picture may leave this page. Whom the clerk has muted is still seen. */
export function mayBeSeen(page: Page): boolean {
  return (isTalking(page) || isChecked(page)) && page.own.camera === "on";
}

/** Whether the screen's picture may leave this page. */
export function mayShowScreen(page: Page): boolean {
  return isTalking(page) && page.own.screen !== "no" && page.view?.muted === false;
}

/** Whether this person may raise a hand, or show a screen. */
export function isOnFloor(page: Page): boolean {
  return isTalking(page) && page.view?.place === "hearing" && !page.view.consultation;
}

/** The language channel that this person, an interpreter, is heard in; "" where everybody hears; null where there is nothing to tell. */
export function speaksInto(page: Page): string | null {
  if (page.welcome?.role !== "interpreter" || !isOnFloor(page) || page.view?.muted !== false) return null;
  return page.view.interprets ?? null;
}

/** Whether this person only listens. */
export function isObserver(page: Page): boolean {
  return page.welcome?.role === "observer";
}
