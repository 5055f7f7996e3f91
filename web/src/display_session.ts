// Carries out what a courtroom's screen does: it dials, for ever, and shows what it is told.

import { Awake } from "./awake";
import { Dialler } from "./dialler";
import { DISPLAY_BEGIN, endsCall, reduceDisplay } from "./display_page";
import type { DisplayEvent, DisplayPage } from "./display_page";
import { displayLines } from "./lines";
import type { ToDisplay } from "./messages";
import { decodeForDisplay } from "./messages";
import { WatchingCall } from "./watching_call";
import type { Way } from "./watching_call";

const WAY: Way<ToDisplay> = {
  door: "display", hello: null, lines: displayLines(), samePc: true, decode: decodeForDisplay, relays: () => null, ends: endsCall,
};

export class DisplaySession {
  page: DisplayPage = DISPLAY_BEGIN;
  /** The pictures by their line. */
  pictures: MediaStreamTrack[] = [];
  private readonly awake = new Awake();
  private readonly dialler: Dialler<WatchingCall<ToDisplay>> = new Dialler((lost, up) => this.dial(lost, up), () => this.lost());

  constructor(private readonly changed: () => void) {}

  start(): void {
    this.awake.want(true);
    this.dialler.start();
  }

  private dial(lost: () => void, up: () => void): WatchingCall<ToDisplay> {
    return new WatchingCall(WAY, {
      lost,
      up,
      said: (message) => this.dispatch({ e: "said", message }),
      tracks: (tracks) => {
        this.pictures = tracks;
        this.changed();
      },
    });
  }

  private lost(): void {
    this.pictures = [];
    this.dispatch({ e: "lost" });
  }

  private dispatch(event: DisplayEvent): void {
    this.page = reduceDisplay(this.page, event);
    this.changed();
  }
}
