// One attempt of a courtroom's screen at the conference: pictures alone, and no token. dialler.ts makes the next one.

import { api, socketOf } from "./api";
import { ATTEMPT_MS, DISCONNECTED_MS } from "./backoff";
import { endsCall } from "./display_page";
import { displayLines } from "./lines";
import type { ToDisplay } from "./messages";
import { decodeForDisplay } from "./messages";
import { addLine, offerOf, onFarEnd } from "./peer";

export interface DisplayCallEvents {
  said(message: ToDisplay): void;
  up(): void;
  /** It is over, told once; nothing else is told after it. */
  lost(): void;
  pictures(tracks: MediaStreamTrack[]): void;
}

export class DisplayCall {
  private readonly socket = new WebSocket(socketOf(api("display")));
  private readonly peer = new RTCPeerConnection({ bundlePolicy: "max-bundle" });
  private readonly attempt = setTimeout(() => this.end(), ATTEMPT_MS);
  private disconnected: ReturnType<typeof setTimeout> | undefined;
  private over = false;

  constructor(private readonly events: DisplayCallEvents) {
    this.socket.onopen = () => void this.offer().catch(() => this.end());
    this.socket.onclose = this.socket.onerror = () => this.end();
    this.socket.onmessage = ({ data }) => {
      const message = typeof data === "string" ? decodeForDisplay(data) : null;
      if (message !== null && !this.over) this.hear(message);
    };
    this.peer.onconnectionstatechange = () => this.changed(this.peer.connectionState);
  }

  /** End without telling. */
  close(): void {
    this.over = true;
    clearTimeout(this.attempt);
    clearTimeout(this.disconnected);
    this.socket.onclose = this.socket.onerror = this.socket.onmessage = null;
    this.socket.close();
    this.peer.onconnectionstatechange = null;
    this.peer.close();
  }

  private end(): void {
    if (this.over) return;
    this.close();
    this.events.lost();
  }

  private hear(message: ToDisplay): void {
    if (endsCall(message)) return this.end();
    if (message.m === "answer") void this.take(message.sdp).catch(() => this.end());
    this.events.said(message);
  }

  private async offer(): Promise<void> {
    for (const line of displayLines()) addLine(this.peer, line);
    const sdp = await offerOf(this.peer);
    if (!this.over) this.socket.send(JSON.stringify({ m: "offer", sdp }));
  }

  private async take(sdp: string): Promise<void> {
    if (this.peer.signalingState !== "have-local-offer") return;
    await this.peer.setRemoteDescription({ type: "answer", sdp });
    onFarEnd(this.peer, () => this.end());
    if (!this.over) this.events.pictures(this.peer.getTransceivers().map((one) => one.receiver.track));
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
