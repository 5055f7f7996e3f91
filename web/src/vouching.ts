// What is compared and signed before media goes in a hearing that is not public. vks/vouching.py is the other side of it, and tells why.

import type { Shown, Unvouched } from "./messages";

export interface Doubt {
  person: string;
  /** The SHA-256 of this page's certificate, as its offer left here. */
  page: string;
  /** This page's random number. */
  number: string;
  asked: Unvouched;
}

const CODE = 10n ** 20n;

// Whatever some browser could take for the end of a line ends one here: what hides behind it is looked at as well.
const LINE_END = /\r\n|[\n\r\v\f\0\u0085\u2028\u2029]/;
const FINGERPRINT = /^a=fingerprint:sha-256 ([0-9a-f]{2}(?::[0-9a-f]{2}){31})$/i;

/** The SHA-256 of the one certificate that all lines of a description promise; "" where it is not one. */
export function fingerprintOf(sdp: string): string {
  const lines = sdp.split(LINE_END).filter((line) => /^a=fingerprint:sha-256 /i.test(line));
  const [only = "", ...others] = new Set(lines.map((line) => (FINGERPRINT.exec(line)?.[1] ?? "").replaceAll(":", "").toLowerCase()));
  return others.length === 0 ? only : "";
}

/**
 * The description without what else it promises: a browser may hold the other side to any one of several fingerprints, and may read a line
 * more freely than another does. So one that speaks of a fingerprint stays only where it is spelled as all browsers spell it.
 */
export function bySha256Alone(sdp: string): string {
  return sdp.split(LINE_END).filter((line) => !/fingerprint/i.test(line) || FINGERPRINT.test(line)).join("\r\n");
}

/** A number that nobody can know before this page tells it. */
export function randomNumber(): string {
  return hex(crypto.getRandomValues(new Uint8Array(32)));
}

/** The code that the clerk is to be read; null where the courtroom's certificate is not the one that it had fixed. */
export async function codeOf({ person, page, number, asked }: Doubt, shown: Shown): Promise<string | null> {
  const { hearing } = asked;
  if (hex(await sha256("room", hearing, person, shown.room, shown.number)) !== asked.commitment) return null;
  const digest = hex(await sha256("code", hearing, person, page, shown.room, number, shown.number));
  return (BigInt(`0x${digest}`) % CODE).toString().padStart(20, "0");
}

/** What the person signs. */
export function textOf({ person, page, asked }: Doubt, shown: Shown): string {
  return `courtroom-dtls-v1\n${asked.hearing}\n${person}\n${page}\n${shown.room}\n`;
}

/** A code as people read it out. */
export const inGroups = (code: string): string => code.replace(/(\d{5})(?=\d)/g, "$1 ");

async function sha256(what: string, ...fields: string[]): Promise<Uint8Array> {
  const lines = [`courtroom-dtls-${what}-v1`, ...fields].map((line) => `${line}\n`).join("");
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(lines)));
}

function hex(bytes: Uint8Array): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
