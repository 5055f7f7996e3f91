// Whether the courtroom is still there, judged by what comes from it. Pure.
//
// A browser whose address has changed sends from one that nobody knows any more, and says "disconnected" after five seconds at best. Sound
// comes fifty times a second: where it stops, the courtroom is asked whether it is there, and where it does not answer the call is lost.

/** So often one looks. */
export const LOOK_MS = 250;
/** So long nothing may come before the courtroom is asked. */
export const SILENT_MS = 1_000;
/** The same where nothing but its answers came for a while, as in the waiting room. */
export const QUIET_MS = 4_000;
/** So long it may take to answer. */
export const ANSWER_MS = 1_500;

export class Pulse {
  private packets = 0;
  private asked: number | null = null;
  private patience = SILENT_MS;

  /** @param last when something came last, in ms. */
  constructor(private last: number) {}

  /** A message came. */
  heard(now: number): void {
    if (this.asked !== null) this.patience = QUIET_MS;
    this.asked = null;
    this.last = now;
  }

  /**
   * What follows from what has come.
   *
   * @param packets how many packets of sound have come in all.
   * @param now in ms.
   */
  look(packets: number, now: number): "fine" | "ask" | "lost" {
    if (packets !== this.packets) {
      this.packets = packets;
      this.patience = SILENT_MS;
      this.asked = null;
      this.last = now;
    } else if (this.asked !== null) {
      return now - this.asked >= ANSWER_MS ? "lost" : "fine";
    } else if (now - this.last >= this.patience) {
      this.asked = now;
      return "ask";
    }
    return "fine";
  }
}
