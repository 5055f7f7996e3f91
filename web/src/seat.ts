// This device's way to its seat: the link's token, the token that leads back, and the device's name.

import { api } from "./api";
import { waitMs } from "./backoff";
import { keep, kept } from "./storage";

const TOKEN = /^[A-Za-z0-9._~-]{16,1024}$/;
const DEVICE = /^[A-Za-z0-9_-]{8,64}$/;

/** The join token of a link's fragment; "" where there is none. Messengers like to add a full stop or a bracket to a link's end. */
export function tokenOf(fragment: string): string {
  let token = fragment.replace(/^#/, "");
  try {
    token = decodeURIComponent(token);
  } catch {
    // taken as it is
  }
  token = token.trim().replace(/[.,;:!?)\]>»”"']+$/, "");
  return TOKEN.test(token) ? token : "";
}

/** The name that this device has given itself. */
export function deviceName(): string {
  const before = kept("device");
  if (before !== null && DEVICE.test(before)) return before;
  const made = nameMade();
  keep("device", made);
  return made;
}

/** A name that nobody else has. */
export function nameMade(): string {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Where the resume token for a link is kept. The link's token itself cannot be read out of it. */
export async function placeOf(token: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(`courtroom-seat\n${token}`));
  return "resume." + [...new Uint8Array(digest).subarray(0, 12)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** Keep nothing by which somebody else at this device could take the seat; what is asked of the link is asked anew. */
export function forgetSeat(place: string): void {
  for (const name of [place, `room.${place}`, "own.microphone", "own.camera", "microphone", "camera", "speaker"]) keep(name, null);
}

export type Joined = { resume: string } | { code: string; at_utc_us: number };

/** So often a courtroom that is just starting is asked before the person is told so: for about 10 s. */
const STARTING_TRIES = 7;

/** Ask for the seat. This, and not the opening of the page, uses the link. */
export async function join(token: string, device: string): Promise<Joined> {
  for (let tried = 1; ; tried += 1) {
    const joined = await ask(token, device);
    if ("resume" in joined || joined.code !== "starting" || tried === STARTING_TRIES) return joined;
    await new Promise((resolve) => setTimeout(resolve, waitMs(tried - 1, Math.random())));
  }
}

async function ask(token: string, device: string): Promise<Joined> {
  const unreachable = { code: "unreachable", at_utc_us: 0 };
  let said: unknown;
  let status: number;
  try {
    const response = await fetch(api("join"), {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token, device }),
      cache: "no-store",
      credentials: "omit",
    });
    status = response.status;
    said = await response.json();
  } catch {
    return unreachable;
  }
  const fields = (said ?? {}) as { resume?: unknown; code?: unknown; at_utc_us?: unknown };
  if (status >= 500 && fields.code !== "starting") return unreachable; // a server in between says so
  if (status < 300 && typeof fields.resume === "string") return { resume: fields.resume };
  return {
    code: typeof fields.code === "string" ? fields.code : "other",
    at_utc_us: typeof fields.at_utc_us === "number" ? fields.at_utc_us : 0,
  };
}
