// Keeps a call standing: dials again when it is lost, sooner when another network comes. Knows nothing of media.

import { waitMs } from "./backoff";

/** What it needs of a call. */
export interface Dialled {
  close(): void;
}

export class Dialler<C extends Dialled> {
  call: C | null = null;
  private failed = 0;
  private attempts = 0;
  private stopped = true;
  private waiting: ReturnType<typeof setTimeout> | undefined;

  /**
   * @param dial makes a call; `lost` is for it to tell that it is over, `up` that it stands.
   * @param onLost a call was lost, or an attempt failed: the next one is on its way.
   */
  constructor(
    private readonly dial: (lost: () => void, up: () => void) => C,
    private readonly onLost: () => void,
    private readonly random: () => number = Math.random,
  ) {}

  start(): void {
    this.stopped = false;
    this.failed = 0;
    this.next();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.waiting);
    this.call?.close();
    this.call = null;
  }

  /** Another network is there, or the page's plan has changed: do not wait, and do not trust the call that stood. */
  atOnce(): void {
    if (this.stopped) return;
    this.failed = 0;
    this.onLost();
    this.next();
  }

  /** Dial anew though nothing is lost. */
  renew(): void {
    if (!this.stopped) this.next();
  }

  private next(): void {
    clearTimeout(this.waiting);
    this.call?.close();
    this.call = null;
    this.attempts += 1;
    const number = this.attempts;
    let over = false;
    const isOurs = (): boolean => !over && !this.stopped && number === this.attempts;
    const lost = (): void => {
      if (!isOurs()) return;
      over = true;
      this.call = null;
      this.onLost();
      this.waiting = setTimeout(() => this.next(), waitMs(this.failed, this.random()));
      this.failed += 1;
    };
    const call = this.dial(lost, () => {
      if (isOurs()) this.failed = 0;
    });
    if (isOurs()) this.call = call;
  }
}
