// How loud the microphone is, and whether it is dead. Pure.

/** Below this the meter shows nothing: the noise of a quiet room. */
const QUIET_DB = -60;
/** Exact silence for so long is no quiet room, but a microphone that a call or a switch has cut off. */
export const DEAD_MS = 8_000;

/** The meter's height, from 0 to 1, for samples from -1 to 1. */
export function meter(samples: ArrayLike<number>): number {
  let sum = 0;
  for (let at = 0; at < samples.length; at += 1) sum += (samples[at] ?? 0) ** 2;
  if (sum === 0) return 0;
  const db = 10 * Math.log10(sum / samples.length);
  return Math.min(1, Math.max(0, 1 - db / QUIET_DB));
}

/** Watches for a microphone that a phone call has left dead: its track says that it lives, and gives nothing. */
export class Watch {
  private energy: number | null = null;
  private since = 0;
  private doubted = true;

  /** Something happened that may have cost the microphone: the page comes back from behind a call, or another device is there. */
  doubt(): void {
    this.doubted = true;
    this.energy = null;
  }

  /**
   * Whether the microphone is dead. A quiet room may be silent for long: only a microphone that has given nothing since the doubt is.
   *
   * @param energy all that it has given (its source's totalAudioEnergy).
   * @param now in ms.
   */
  isDead(energy: number, now: number): boolean {
    if (!this.doubted) return false;
    if (this.energy === null) {
      this.energy = energy;
      this.since = now;
    } else if (energy !== this.energy) {
      this.doubted = false;
    }
    return this.doubted && now - this.since >= DEAD_MS;
  }
}
