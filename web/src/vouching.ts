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

/** The SHA-256 of the one certificate that all lines of a description promise; "" where it is not one. */
export function fingerprintOf(sdp: string): string {
  const values = new Set([...sdp.matchAll(/^a=fingerprint:sha-256 (.*?)\r?$/gim)].map(([, value = ""]) => value.replaceAll(":", "").toLowerCase()));
  const [only = "", ...others] = values;
  return others.length === 0 && /^[0-9a-f]{64}$/.test(only) ? only : "";
}

/** The description without what else it promises: a browser may hold the other side to any one of several fingerprints. */
export function bySha256Alone(sdp: string): string {
  return sdp.replace(/^a=fingerprint:(?!sha-256 ).*\r?\n/gim, "");
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
