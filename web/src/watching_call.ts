// One attempt of a page that only watches: a courtroom's screen, or somebody who looks in. It sends nothing.

import type { Ends } from "./attempt";
import { Attempt } from "./attempt";
import type { Line } from "./lines";
import type { IceServer } from "./messages";
import { addLine } from "./peer";

export interface Way<M> {
  /** Which of the courtroom's doors. */
  door: string;
  /** What is said first; null: media is offered at once. */
  hello: object | null;
  lines: Line[];
  /** Whether it is on the room's own PC: all its addresses stand in the offer then. */
  samePc: boolean;
  decode(text: string): M | null;
  /** The relays by which media may go, where a message names them: it is the leave to offer media. */
  relays(message: M): IceServer[] | null;
  /** Whether the call is over by this message. */
  ends(message: M): boolean;
}

export interface WatchingEvents<M> extends Ends {
  said(message: M): void;
  tracks(tracks: MediaStreamTrack[]): void;
}

export class WatchingCall<M extends { m: string }> extends Attempt {
  constructor(
    private readonly way: Way<M>,
    private readonly events: WatchingEvents<M>,
  ) {
    super(way.door, events);
  }

  /** Tell the courtroom that nobody watches here any more. */
  leave(): void {
    this.send({ m: "leave" });
  }

  protected opened(): void {
    if (this.way.hello === null) this.offerMedia([]);
    else this.send(this.way.hello);
  }

  protected read(text: string): void {
    const message = this.way.decode(text);
    if (message === null) return;
    const relays = this.way.relays(message);
    if (relays !== null) this.offerMedia(relays);
    const { sdp } = message as { sdp?: string };
    if (message.m === "answer" && sdp !== undefined) this.finish(sdp, (tracks) => this.events.tracks(tracks));
    this.events.said(message);
    if (this.way.ends(message)) this.end();
  }

  private offerMedia(relays: IceServer[]): void {
    const lay = (peer: RTCPeerConnection): void => {
      for (const line of this.way.lines) addLine(peer, line);
    };
    this.begin(relays, lay, this.way.samePc);
  }
}
