// How long to wait before a lost connection is dialled again. Pure.

export const FIRST_MS = 300;
export const LONGEST_MS = 3_000;
/** So long a peer connection may say "disconnected" before it is given up: it often comes back by itself within a second. */
export const DISCONNECTED_MS = 2_000;
/** So long one attempt may take until media flows. */
export const ATTEMPT_MS = 12_000;
/** So long the courtroom may say why, once it has ended media: its last word goes by the centre, and media by a shorter way. */
export const LAST_WORD_MS = 2_000;

/**
 * The wait before an attempt, in ms.
 *
 * @param failed how many attempts have failed since the connection last stood; 0 is the first after a loss.
 * @param random from 0 to 1: spreads the pages of a hearing, which all lose the courtroom at once.
 */
export function waitMs(failed: number, random: number): number {
  const longest = Math.min(FIRST_MS * 2 ** Math.min(failed, 16), LONGEST_MS);
  return Math.round(Math.max(FIRST_MS, longest * (1 - random / 3)));
}
