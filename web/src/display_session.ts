// Carries out what a courtroom's screen does: it dials, for ever, and shows what it is told.

import { Awake } from "./awake";
import { Dialler } from "./dialler";
import { DisplayCall } from "./display_call";
import { DISPLAY_BEGIN, reduceDisplay } from "./display_page";
import type { DisplayEvent, DisplayPage } from "./display_page";

export class DisplaySession {
  page: DisplayPage = DISPLAY_BEGIN;
  /** The pictures by their line. */
  pictures: MediaStreamTrack[] = [];
  private readonly awake = new Awake();
  private readonly dialler: Dialler<DisplayCall> = new Dialler((lost, up) => this.dial(lost, up), () => this.lost());

  constructor(private readonly changed: () => void) {}

  start(): void {
    this.awake.want(true);
    this.dialler.start();
  }

  private dial(lost: () => void, up: () => void): DisplayCall {
    return new DisplayCall({
      lost,
      up,
      said: (message) => this.dispatch({ e: "said", message }),
      pictures: (tracks) => {
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
