// The media lines of an offer, in the order that vks/signalling.py tells of. Pure.

export const [SOUND, CAMERA, SCREEN, FIRST_TILE] = [0, 1, 2, 3] as const;
export const TILES_WIDE = 6;
export const TILES_PHONE = 2;
/** A screen whose sides are at least so long, in CSS pixels, is wide. */
export const WIDE_PX = [900, 600] as const;

/** What is sent at most. A viewer's link carries the room and all tiles: each of them must stay small. */
export const CAMERA_BPS = 400_000;
export const SCREEN_BPS = 1_000_000;
/** H.264's level 3.1 ends at 1280 x 720. */
export const CAMERA_SIZE = { width: 640, height: 360, rate: 25 } as const;
/** What the camera sends to the clerk alone, who wants to read a document. */
export const DOCUMENT_BPS = 1_500_000;
export const DOCUMENT_SIZE = { width: 1280, height: 720, rate: 15 } as const;
export const SCREEN_SIZE = { width: 1280, height: 720, rate: 15 } as const;

export interface Line {
  kind: "audio" | "video";
  direction: "sendrecv" | "sendonly" | "recvonly";
}

/** The lines of a screen of the courtroom: pictures alone, for the room hears by its own loudspeakers. */
export function displayLines(): Line[] {
  return Array.from({ length: TILES_WIDE }, () => ({ kind: "video", direction: "recvonly" }));
}

/** The lines of a page that looks in: sound, and pictures. */
export function lookLines(tiles: number): Line[] {
  return [{ kind: "audio", direction: "recvonly" }, ...Array.from({ length: tiles }, (): Line => ({ kind: "video", direction: "recvonly" }))];
}

/** How many pictures of others are shown at once. By the screen, however it is turned: turning must not need another offer. */
export function tilesFor(widthPx: number, heightPx: number): number {
  const [long, short] = WIDE_PX;
  return Math.max(widthPx, heightPx) >= long && Math.min(widthPx, heightPx) >= short ? TILES_WIDE : TILES_PHONE;
}

/** The lines to offer: sound alone where there can be no pictures. */
export function linesFor(pictures: boolean, tiles: number): Line[] {
  const sound: Line = { kind: "audio", direction: "sendrecv" };
  if (!pictures) return [sound];
  const own: Line = { kind: "video", direction: "sendonly" };
  const shown: Line = { kind: "video", direction: "recvonly" };
  return [sound, own, own, ...Array.from({ length: tiles }, () => shown)];
}
