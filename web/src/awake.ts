// A phone's screen stays on during the hearing: a phone that sleeps takes the microphone along.

export class Awake {
  private wanted = false;
  private lock: WakeLockSentinel | null = null;

  constructor() {
    document.addEventListener("visibilitychange", () => void this.take());
  }

  want(on: boolean): void {
    if (on === this.wanted) return;
    this.wanted = on;
    if (on) void this.take();
    else void this.lock?.release().catch(() => undefined);
  }

  private async take(): Promise<void> {
    if (!this.wanted || document.visibilityState !== "visible" || (this.lock !== null && !this.lock.released)) return;
    try {
      this.lock = (await navigator.wakeLock?.request("screen")) ?? null;
    } catch {
      // low battery, or not allowed: the person must touch the screen now and then
    }
  }
}
