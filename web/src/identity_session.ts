// Carries out what the screen does on which the clerk checks somebody's identity: it dials until the check is over.

import { Awake } from "./awake";
import { Dialler } from "./dialler";
import { identityBegin, reduceIdentity } from "./identity_page";
import type { IdentityEvent, IdentityPage } from "./identity_page";
import type { ToIdentity } from "./messages";
import { decodeForIdentity } from "./messages";
import { nameMade, tokenOf } from "./seat";
import { WatchingCall } from "./watching_call";
import type { Way } from "./watching_call";

export class IdentitySession {
  page: IdentityPage;
  /** The person's picture. */
  picture: MediaStreamTrack | null = null;
  private readonly token = tokenOf(location.hash);
  /** Kept nowhere but in this page: the link opens for it alone, and not for who comes to this PC after it was closed. */
  private readonly device = nameMade();
  private readonly awake = new Awake();
  private readonly dialler: Dialler<WatchingCall<ToIdentity>> = new Dialler((lost, up) => this.dial(lost, up), () => this.lost());

  constructor(private readonly changed: () => void) {
    this.page = identityBegin(this.token);
    history.replaceState(null, "", location.pathname); // the token is of use to nobody any more, and stays in no history
  }

  start(): void {
    if (this.page.phase !== "in") return;
    this.awake.want(true);
    this.dialler.start();
  }

  private dial(lost: () => void, up: () => void): WatchingCall<ToIdentity> {
    const way: Way<ToIdentity> = {
      door: "identity",
      hello: { m: "see", token: this.token, device: this.device },
      lines: [{ kind: "video", direction: "recvonly" }],
      samePc: true,
      decode: decodeForIdentity,
      relays: (message) => (message.m === "checking" ? [] : null),
      ends: (message) => message.m === "bye" || message.m === "refused",
    };
    return new WatchingCall(way, {
      lost,
      up,
      said: (message) => this.dispatch({ e: "said", message }),
      tracks: ([picture]) => {
        this.picture = picture ?? null;
        this.changed();
      },
    });
  }

  private lost(): void {
    this.picture = null;
    this.dispatch({ e: "lost" });
  }

  private dispatch(event: IdentityEvent): void {
    this.page = reduceIdentity(this.page, event);
    if (this.page.phase === "over") {
      this.dialler.stop();
      this.picture = null;
      this.awake.want(false);
    }
    this.changed();
  }
}
