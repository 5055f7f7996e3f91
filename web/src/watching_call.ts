// One attempt of a page that only watches: a courtroom's screen, or somebody who looks in. It sends nothing. dialler.ts makes the next one.

import { api, socketOf } from "./api";
import { ATTEMPT_MS, DISCONNECTED_MS } from "./backoff";
import { withoutEmpty } from "./ice";
import type { Line } from "./lines";
import type { IceServer } from "./messages";
import { addLine, offerOf, onFarEnd } from "./peer";

export interface Way<M> {
  /** Which of the courtroom's doors. */
  door: string;
  /** What is said first; null: media is offered at once. */
  hello: object | null;
  lines: Line[];
  decode(text: string): M | null;
  /** The relays by which media may go, where a message names them: it is the leave to offer media. */
  relays(message: M): IceServer[] | null;
  /** Whether the call is over by this message. */
  ends(message: M): boolean;
}

export interface WatchingEvents<M> {
  said(message: M): void;
  up(): void;
  /** It is over, told once; nothing else is told after it. */
  lost(): void;
  tracks(tracks: MediaStreamTrack[]): void;
}

export class WatchingCall<M extends { m: string }> {
  private readonly socket: WebSocket;
  private peer: RTCPeerConnection | null = null;
  private readonly attempt = setTimeout(() => this.end(), ATTEMPT_MS);
  private disconnected: ReturnType<typeof setTimeout> | undefined;
  private over = false;

  constructor(
    private readonly way: Way<M>,
    private readonly events: WatchingEvents<M>,
  ) {
    this.socket = new WebSocket(socketOf(api(way.door)));
    this.socket.onopen = () => (way.hello === null ? this.begin([]) : this.socket.send(JSON.stringify(way.hello)));
    this.socket.onclose = this.socket.onerror = () => this.end();
    this.socket.onmessage = ({ data }) => {
      const message = typeof data === "string" ? way.decode(data) : null;
      if (message !== null && !this.over) this.hear(message);
    };
  }

  /** End without telling. */
  close(): void {
    this.over = true;
    clearTimeout(this.attempt);
    clearTimeout(this.disconnected);
    this.socket.onclose = this.socket.onerror = this.socket.onmessage = null;
    this.socket.close();
    if (this.peer !== null) this.peer.onconnectionstatechange = this.peer.onicecandidate = null;
    this.peer?.close();
  }

  private end(): void {
    if (this.over) return;
    this.close();
    this.events.lost();
  }

  private hear(message: M): void {
    const relays = this.way.relays(message);
    if (relays !== null) this.begin(relays);
    const { sdp } = message as { sdp?: string };
    if (message.m === "answer" && sdp !== undefined) void this.take(sdp).catch(() => this.end());
    this.events.said(message);
    if (this.way.ends(message)) this.end();
  }

  private begin(relays: IceServer[]): void {
    void this.offer(relays).catch(() => this.end());
  }

  private async offer(relays: IceServer[]): Promise<void> {
    if (this.peer !== null) return; // nothing is offered a second time
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: relays.map(withoutEmpty) });
    this.peer = peer;
    peer.onconnectionstatechange = () => this.changed(peer.connectionState);
    for (const line of this.way.lines) addLine(peer, line);
    const sdp = await offerOf(peer);
    if (this.over) return;
    this.socket.send(JSON.stringify({ m: "offer", sdp }));
    if (relays.length === 0) return;
    peer.onicecandidate = ({ candidate }) => {
      if (candidate?.sdpMLineIndex !== 0 || candidate.candidate === "") return;
      this.socket.send(JSON.stringify({ m: "candidate", candidate: candidate.candidate }));
    };
  }

  private async take(sdp: string): Promise<void> {
    const { peer } = this;
    if (peer === null || peer.signalingState !== "have-local-offer") return;
    await peer.setRemoteDescription({ type: "answer", sdp });
    onFarEnd(peer, () => this.end());
    if (!this.over) this.events.tracks(peer.getTransceivers().map((one) => one.receiver.track));
  }

  private changed(state: RTCPeerConnectionState): void {
    clearTimeout(this.disconnected);
    if (state === "connected") {
      clearTimeout(this.attempt);
      this.events.up();
    }
    if (state === "disconnected") this.disconnected = setTimeout(() => this.end(), DISCONNECTED_MS);
    if (state === "failed" || state === "closed") this.end();
  }
}
