// Carries out what a page that looks in does: it dials once somebody has pressed the button, and until it is over.

import { Awake } from "./awake";
import { Dialler } from "./dialler";
import { lookLines, tilesFor } from "./lines";
import { lookBegin, reduceLook } from "./look_page";
import type { LookEvent, LookPage } from "./look_page";
import type { ToLookIn } from "./messages";
import { decodeForLookIn } from "./messages";
import { deviceName, tokenOf } from "./seat";
import { Sound } from "./sound";
import { WatchingCall } from "./watching_call";
import type { Way } from "./watching_call";

export class LookSession {
  /** The pictures by their line. */
  pictures: MediaStreamTrack[] = [];
  page: LookPage;
  readonly sound = new Sound((locked) => this.dispatch({ e: "sound_locked", locked }));
  private readonly token = tokenOf(location.hash);
  private readonly awake = new Awake();
  private readonly dialler: Dialler<WatchingCall<ToLookIn>> = new Dialler((lost, up) => this.dial(lost, up), () => this.lost());

  constructor(private readonly changed: () => void) {
    this.page = lookBegin(this.token);
    window.addEventListener("pagehide", () => this.leave()); // a tab that is closed, or another page in it
  }

  /** This, and not the opening of the page, uses the link. */
  begin(): void {
    this.awake.want(true);
    this.dispatch({ e: "begin" });
    this.dialler.start();
  }

  /** Look in no longer: the courtroom is told, so that nobody is named there who has gone. */
  leave(): void {
    if (this.page.phase !== "in") return;
    this.dialler.call?.leave();
    this.dispatch({ e: "leave" });
  }

  private dial(lost: () => void, up: () => void): WatchingCall<ToLookIn> {
    const way: Way<ToLookIn> = {
      door: "look",
      hello: { m: "look", token: this.token, device: deviceName() },
      lines: lookLines(tilesFor(screen.width, screen.height)),
      samePc: false,
      decode: decodeForLookIn,
      relays: (message) => (message.m === "looking" ? message.ice : null),
      ends: (message) => message.m === "bye" || message.m === "refused",
    };
    return new WatchingCall(way, {
      lost,
      up,
      said: (message) => this.dispatch({ e: "said", message, nowMs: Date.now() }),
      tracks: ([sound, ...pictures]) => {
        this.pictures = pictures;
        if (sound !== undefined) this.sound.play(sound);
        this.changed();
      },
    });
  }

  private lost(): void {
    this.pictures = [];
    this.dispatch({ e: "lost" });
  }

  private dispatch(event: LookEvent): void {
    const { phase } = this.page;
    this.page = reduceLook(this.page, event);
    if (this.page.phase === "over" && phase !== "over") {
      this.dialler.stop();
      this.pictures = [];
      this.sound.stop();
      this.awake.want(false);
    }
    this.changed();
  }
}
