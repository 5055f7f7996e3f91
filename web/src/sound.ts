// The hearing's sound: one element that is unlocked by a tap, and lives through every connection.

import { kept } from "./storage";

export class Sound {
  private readonly element = document.createElement("audio");

  /** @param onLocked the browser plays nothing until somebody taps; or does now. */
  constructor(private readonly onLocked: (locked: boolean) => void) {
    this.element.autoplay = true;
    this.element.setAttribute("playsinline", "");
    this.element.hidden = true;
    document.body.append(this.element);
    const tapped = (): void => void (this.element.srcObject !== null && this.element.paused && this.start());
    document.addEventListener("pointerup", tapped);
    document.addEventListener("keyup", tapped);
  }

  play(track: MediaStreamTrack): void {
    this.element.srcObject = new MediaStream([track]);
    void this.choose(kept("speaker") ?? "");
    void this.start();
  }

  /** To be called within a tap where the browser has refused. */
  async start(): Promise<void> {
    try {
      await this.element.play();
      this.onLocked(false);
    } catch (error) {
      if ((error as Error).name === "NotAllowedError") this.onLocked(true);
    }
  }

  /** Play by this loudspeaker, where the browser lets one choose. */
  async choose(id: string): Promise<void> {
    try {
      await (this.element as HTMLMediaElement & { setSinkId?: (id: string) => Promise<void> }).setSinkId?.(id);
    } catch {
      // it was unplugged: the usual one plays
    }
  }

  stop(): void {
    this.element.srcObject = null;
    this.onLocked(false);
  }
}
