// One attempt at a connection to the courtroom: a WebSocket and a peer connection, which live and die together. dialler.ts makes the next one.

import { api, socketOf } from "./api";
import { ATTEMPT_MS, DISCONNECTED_MS, LAST_WORD_MS } from "./backoff";
import { withoutEmpty } from "./ice";
import type { IceServer } from "./messages";
import { offerOf, onFarEnd } from "./peer";

export interface Ends {
  /** Media flows. */
  up(): void;
  /** It is over, told once; nothing else is told after it. */
  lost(): void;
}

export abstract class Attempt {
  protected peer: RTCPeerConnection | null = null;
  protected over = false;
  private readonly socket: WebSocket;
  private attempt = setTimeout(() => this.end(), ATTEMPT_MS);
  private begun = false;
  private disconnected: ReturnType<typeof setTimeout> | undefined;
  private lastWord: ReturnType<typeof setTimeout> | undefined;

  /** @param door which of the courtroom's doors. */
  constructor(door: string, private readonly ends: Ends) {
    this.socket = new WebSocket(socketOf(api(door)));
    this.socket.onopen = () => this.opened();
    this.socket.onclose = this.socket.onerror = () => this.end();
    this.socket.onmessage = ({ data }) => {
      if (typeof data === "string" && !this.over) this.read(data);
    };
  }

  /** End without telling. */
  close(): void {
    this.over = true;
    clearTimeout(this.attempt);
    clearTimeout(this.disconnected);
    clearTimeout(this.lastWord);
    this.socket.onclose = this.socket.onerror = this.socket.onmessage = null;
    this.socket.close();
    if (this.peer !== null) this.peer.onconnectionstatechange = this.peer.onicecandidate = null;
    this.peer?.close();
  }

  /** The courtroom can be spoken to. */
  protected abstract opened(): void;

  /** It has said something. */
  protected abstract read(text: string): void;

  /** By what media is encrypted; none: the browser makes a certificate for this attempt alone. */
  protected certificates(): Promise<RTCCertificate[]> {
    return Promise.resolve([]);
  }

  /** Media flows, for the first time or again. */
  protected connected(): void {
    this.ends.up();
  }

  /** It is over. */
  protected end(): void {
    if (this.over) return;
    this.close();
    this.ends.lost();
  }

  protected send(message: object): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Offer media by these relays, on the lines that are laid; nothing is offered a second time. `alone`: no address follows the offer. */
  protected begin(relays: IceServer[], lay: (peer: RTCPeerConnection) => void, alone = false): void {
    if (this.begun) return;
    this.begun = true;
    void this.offer(relays, lay, alone).catch(() => this.end());
  }

  /** The courtroom does not answer the offer yet, and may take its time. */
  protected pause(): void {
    clearTimeout(this.attempt);
  }

  /** Say the offer again, with all addresses that are known by now. */
  protected offerAgain(): void {
    if (this.peer?.signalingState !== "have-local-offer") return this.end();
    clearTimeout(this.attempt);
    this.attempt = setTimeout(() => this.end(), ATTEMPT_MS);
    this.send({ m: "offer", sdp: this.peer.localDescription?.sdp ?? "" });
  }

  /** Take the courtroom's answer; `then` is told the tracks of all lines. */
  protected finish(sdp: string, then: (tracks: MediaStreamTrack[]) => void): void {
    void this.take(sdp, then).catch(() => this.end());
  }

  private async offer(relays: IceServer[], lay: (peer: RTCPeerConnection) => void, alone: boolean): Promise<void> {
    const certificates = await this.certificates();
    if (this.over) return;
    const own = certificates.length > 0 ? { certificates } : {};
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: relays.map(withoutEmpty), ...own });
    this.peer = peer;
    peer.onconnectionstatechange = () => this.changed(peer.connectionState);
    lay(peer);
    const sdp = await offerOf(peer);
    if (this.over) return;
    this.send({ m: "offer", sdp });
    if (alone) return;
    // What a relay gives comes later than an offer may wait: by TLS, or where UDP is thrown away, seconds later.
    peer.onicecandidate = ({ candidate }) => {
      if (candidate?.sdpMLineIndex === 0 && candidate.candidate !== "") this.send({ m: "candidate", candidate: candidate.candidate });
    };
  }

  private async take(sdp: string, then: (tracks: MediaStreamTrack[]) => void): Promise<void> {
    const { peer } = this;
    if (peer === null || peer.signalingState !== "have-local-offer") return;
    await peer.setRemoteDescription({ type: "answer", sdp });
    onFarEnd(peer, () => this.awaitLastWord());
    if (!this.over) then(peer.getTransceivers().map((one) => one.receiver.track));
  }

  /** Media has ended at the other side, and why may still be on its way: through a centre the last word comes after that. */
  private awaitLastWord(): void {
    if (!this.over) this.lastWord ??= setTimeout(() => this.end(), LAST_WORD_MS);
  }

  private changed(state: RTCPeerConnectionState): void {
    clearTimeout(this.disconnected);
    if (state === "connected") {
      clearTimeout(this.attempt);
      this.connected();
    }
    if (state === "disconnected") this.disconnected = setTimeout(() => this.end(), DISCONNECTED_MS);
    if (state === "closed") this.awaitLastWord();
    if (state === "failed") this.end();
  }
}
