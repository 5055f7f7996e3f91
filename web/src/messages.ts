// What this page and the courtroom say to each other. vks/signalling.py is the other side of it, and the authority.

export type Role = "judge" | "clerk" | "party" | "counsel" | "witness" | "interpreter" | "prosecutor" | "specialist" | "observer";
export type Place = "lobby" | "hearing" | "isolated" | "dismissed" | "removed";
export type RoomState = "idle" | "open" | "off_record" | "privileged" | "deliberation" | "closing";
/** What is not known: whether the session is recorded, or what state the room is in; nobody hears anybody then. Empty: all is known. */
export type Unsure = "" | "recording" | "room";
/** What the clerk, who checks somebody's identity, asks to be shown to the camera; "" where nobody checks. */
export type Step = "" | "face" | "document" | "done";
export type Quality = "good" | "small" | "sound";

export type Act =
  | { act: "raise_hand"; on: boolean }
  | { act: "share"; on: boolean }
  | { act: "listen"; channel: string }
  | { act: "leave_consultation" };

export type FromPage =
  | { m: "resume"; token: string }
  | { m: "offer"; sdp: string }
  | { m: "number"; number: string }
  | { m: "signed"; cms: string }
  | { m: "candidate"; candidate: string }
  | { m: "do"; act: Act }
  | { m: "ping" }
  | { m: "leave" };

export interface IceServer {
  urls: string[];
  username: string;
  credential: string;
}

export interface Welcome {
  m: "welcome";
  person: string;
  name: string;
  role: Role;
  title: string;
  resume: string;
  ice: IceServer[];
}

export interface Other {
  person: string;
  name: string;
  role: Role;
  muted: boolean;
  hand: boolean;
}

export interface View {
  m: "view";
  place: Place;
  room: RoomState;
  muted: boolean;
  hand: boolean;
  others: Other[];
  consultation: boolean;
  sharing: string;
  look_ins: string[];
  channels: string[];
  listens: string;
  identity: Step;
  /** A large audience watches; with an older vks not there: none. */
  audience?: boolean;
  /** The hearing is not public; with an older vks not there: not known. */
  closed?: boolean;
  /** With an older vks not there: nothing is. */
  unsure?: Unsure;
  /** The language channel that an interpreter speaks into; "" to everybody. With an older vks not there: not known. */
  interprets?: string;
}

export interface Answer {
  m: "answer";
  sdp: string;
}

/** The hearing is not public, and nobody has vouched for this page's certificate. */
export interface Unvouched {
  m: "unvouched";
  hearing: string;
  commitment: string;
  sign: boolean;
}

/** What the commitment was made of. */
export interface Shown {
  m: "shown";
  room: string;
  number: string;
}

/** Somebody has, or nobody needs to any more: the offer is to be said again. */
export interface Vouched {
  m: "vouched";
}

export interface Tiles {
  m: "tiles";
  shown: string[];
}

export interface Link {
  m: "link";
  quality: Quality;
}

/** This device waits: another one of the same person is in the hearing, and the clerk says which it is to be. */
export interface Wait {
  m: "wait";
}

export interface Refused {
  m: "refused";
  code: string;
}

export interface Bye {
  m: "bye";
  code: string;
  again: boolean;
}

/** The courtroom is there. */
export interface Pong {
  m: "pong";
}

export type ToPage = Welcome | Answer | Unvouched | Shown | Vouched | View | Tiles | Link | Wait | Pong | Refused | Bye;

/** All that a screen of the courtroom shows. */
export interface Screen {
  m: "screen";
  title: string;
  room: RoomState;
  recording: boolean;
  people: Other[];
  sharing: string;
  look_ins: string[];
  closed: boolean;
  /** A large audience watches; with an older vks not there: none. */
  audience?: boolean;
  /** With an older vks not there: nothing is. */
  unsure?: Unsure;
  /** Where this courtroom is in the hearing of another one; empty, and with an older vks not there: the hearing is its own. */
  visit?: Visit;
}

export type Visit = Place | "private" | "lost" | "";

export type ToDisplay = Screen | Answer | Tiles | Refused | Bye;

/** As whom the room's screens name whoever looks in, and for how long still. */
export interface Looking {
  m: "looking";
  person: string;
  left_s: number;
  ice: IceServer[];
}

export type ToLookIn = Looking | Screen | Answer | Tiles | Link | Refused | Bye;

/** Whose identity is checked on the clerk's screen, what the person is asked to show, and how many stills were taken. */
export interface Checking {
  m: "checking";
  name: string;
  role: Role;
  step: Step;
  faces: number;
  documents: number;
}

export type ToIdentity = Checking | Answer | Tiles | Refused | Bye;

/** The fields that each message must have, by an example of each field's kind. */
type Shapes<M extends { m: string }> = Record<M["m"], Record<string, unknown>>;
const SHAPES: Shapes<ToPage> = {
  welcome: { person: "", name: "", role: "", title: "", resume: "", ice: [] },
  answer: { sdp: "" },
  unvouched: { hearing: "", commitment: "", sign: true },
  shown: { room: "", number: "" },
  vouched: {},
  view: {
    place: "", room: "", muted: true, hand: true, others: [], consultation: true, sharing: "", look_ins: [], channels: [], listens: "",
    identity: "",
  },
  tiles: { shown: [] },
  link: { quality: "" },
  wait: {},
  pong: {},
  refused: { code: "" },
  bye: { code: "", again: true },
};
const DISPLAY_SHAPES: Shapes<ToDisplay> = {
  screen: { title: "", room: "", recording: true, people: [], sharing: "", look_ins: [], closed: true },
  answer: SHAPES.answer,
  tiles: SHAPES.tiles,
  refused: SHAPES.refused,
  bye: SHAPES.bye,
};

const LOOK_IN_SHAPES: Shapes<ToLookIn> = { ...DISPLAY_SHAPES, looking: { person: "", left_s: 1, ice: [] }, link: SHAPES.link };

const IDENTITY_SHAPES: Shapes<ToIdentity> = {
  checking: { name: "", role: "", step: "", faces: 1, documents: 1 },
  answer: SHAPES.answer,
  tiles: SHAPES.tiles,
  refused: SHAPES.refused,
  bye: SHAPES.bye,
};

/** What a text from the courtroom says; null where it says nothing that this page knows. A newer courtroom may say more. */
export function decode(text: string): ToPage | null {
  return decodeAs<ToPage>(text, SHAPES);
}

/** The same for a screen of the courtroom. */
export function decodeForDisplay(text: string): ToDisplay | null {
  return decodeAs<ToDisplay>(text, DISPLAY_SHAPES);
}

/** The same for a page that looks in. */
export function decodeForLookIn(text: string): ToLookIn | null {
  return decodeAs<ToLookIn>(text, LOOK_IN_SHAPES);
}

/** The same for the screen on which the clerk checks somebody's identity. */
export function decodeForIdentity(text: string): ToIdentity | null {
  return decodeAs<ToIdentity>(text, IDENTITY_SHAPES);
}

function decodeAs<M>(text: string, shapes: Record<string, Record<string, unknown>>): M | null {
  let said: unknown;
  try {
    said = JSON.parse(text);
  } catch {
    return null;
  }
  if (typeof said !== "object" || said === null) return null;
  const fields = said as Record<string, unknown>;
  const shape = Object.entries(shapes).find(([name]) => name === fields["m"])?.[1];
  if (shape === undefined) return null;
  const fits = Object.entries(shape).every(
    ([name, example]) => typeof fields[name] === typeof example && Array.isArray(fields[name]) === Array.isArray(example),
  );
  return fits ? (said as M) : null;
}
