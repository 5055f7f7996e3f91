// One attempt at the conference: a WebSocket and a peer connection, which live and die together. dialler.ts makes the next one.

import { api, socketOf } from "./api";
import { canPictures } from "./codecs";
import { withoutEmpty } from "./ice";
import { CAMERA, CAMERA_BPS, FIRST_TILE, SCREEN, SCREEN_BPS, SOUND, linesFor } from "./lines";
import type { FromPage, IceServer, ToPage } from "./messages";
import { decode } from "./messages";
import { ATTEMPT_MS, DISCONNECTED_MS } from "./backoff";
import { LOOK_MS, Pulse } from "./pulse";
import { addLine, offerOf, onFarEnd } from "./peer";

export interface Given {
  microphone: MediaStreamTrack | null;
  camera: MediaStreamTrack | null;
  screen: MediaStreamTrack | null;
}

export interface CallEvents {
  said(message: ToPage): void;
  /** Media flows. */
  up(): void;
  /** It is over, told once; nothing else is told after it. */
  lost(): void;
  /** Sound and pictures of others, by their line; told when the answer is there. */
  tracks(sound: MediaStreamTrack, pictures: MediaStreamTrack[]): void;
}

/** Whether this browser can send and show the courtroom's pictures. */
export function picturesPossible(): boolean {
  const send = RTCRtpSender.getCapabilities?.("video")?.codecs ?? [];
  const receive = RTCRtpReceiver.getCapabilities?.("video")?.codecs ?? [];
  return canPictures(send, receive);
}

export class Call {
  private readonly socket: WebSocket;
  private peer: RTCPeerConnection | null = null;
  private over = false;
  private readonly attempt: ReturnType<typeof setTimeout>;
  private disconnected: ReturnType<typeof setTimeout> | undefined;
  private looking: ReturnType<typeof setInterval> | undefined;
  private readonly pulse = new Pulse(performance.now());

  constructor(
    resume: string,
    private readonly plan: { pictures: boolean; tiles: number },
    private given: Given,
    private readonly events: CallEvents,
  ) {
    this.attempt = setTimeout(() => this.end(), ATTEMPT_MS);
    this.socket = new WebSocket(socketOf(api("connect")));
    this.socket.onopen = () => this.say({ m: "resume", token: resume });
    this.socket.onclose = this.socket.onerror = () => this.end();
    this.socket.onmessage = ({ data }) => {
      const message = typeof data === "string" ? decode(data) : null;
      this.pulse.heard(performance.now());
      if (message !== null && !this.over) this.hear(message);
    };
  }

  say(message: FromPage): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** Send these tracks from now on, without another offer. */
  give(given: Given): void {
    this.given = given;
    const transceivers = this.peer?.getTransceivers() ?? [];
    const put = (line: number, track: MediaStreamTrack | null): void => {
      const sender = transceivers[line]?.sender;
      if (sender !== undefined && sender.track !== track) void sender.replaceTrack(track).catch(() => undefined);
    };
    put(SOUND, given.microphone);
    if (this.plan.pictures) {
      put(CAMERA, given.camera);
      put(SCREEN, given.screen);
    }
  }

  /** The energy that the microphone has given in all; null where the browser does not tell. */
  async energy(): Promise<number | null> {
    const sender = this.peer?.getTransceivers()[SOUND]?.sender;
    if (sender === undefined) return null;
    for (const one of (await sender.getStats()).values()) {
      const stats = one as { type: string; totalAudioEnergy?: number };
      if (stats.type === "media-source" && stats.totalAudioEnergy !== undefined) return stats.totalAudioEnergy;
    }
    return null;
  }

  /** End without telling. */
  close(): void {
    this.over = true;
    clearTimeout(this.attempt);
    clearTimeout(this.disconnected);
    clearInterval(this.looking);
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

  private hear(message: ToPage): void {
    if (message.m === "welcome") void this.offer(message.ice).catch(() => this.end());
    if (message.m === "answer") void this.take(message.sdp).catch(() => this.end());
    this.events.said(message);
  }

  private async offer(ice: IceServer[]): Promise<void> {
    if (this.peer !== null) return; // nothing is offered a second time
    const peer = new RTCPeerConnection({ bundlePolicy: "max-bundle", iceServers: ice.map(withoutEmpty) });
    this.peer = peer;
    peer.onconnectionstatechange = () => this.changed(peer.connectionState);
    for (const [number, line] of linesFor(this.plan.pictures, this.plan.tiles).entries()) {
      const bps = number === CAMERA ? CAMERA_BPS : SCREEN_BPS;
      const sends = line.kind === "video" && line.direction === "sendonly";
      addLine(peer, line, sends ? bps : undefined);
    }
    this.give(this.given);
    const sdp = await offerOf(peer);
    if (this.over) return;
    this.say({ m: "offer", sdp });
    // What a relay gives comes later than an offer may wait: by TLS, or where UDP is thrown away, seconds later.
    peer.onicecandidate = ({ candidate }) => {
      if (candidate?.sdpMLineIndex === 0 && candidate.candidate !== "") this.say({ m: "candidate", candidate: candidate.candidate });
    };
  }

  private async take(sdp: string): Promise<void> {
    const { peer } = this;
    if (peer === null || peer.signalingState !== "have-local-offer") return;
    await peer.setRemoteDescription({ type: "answer", sdp });
    onFarEnd(peer, () => this.end());
    const [sound, ...others] = peer.getTransceivers().map((one) => one.receiver.track);
    if (sound !== undefined && !this.over) this.events.tracks(sound, others.slice(FIRST_TILE - 1));
  }

  private async look(): Promise<void> {
    const { peer } = this;
    if (peer === null) return;
    let packets = 0;
    for (const one of ((await peer.getTransceivers()[SOUND]?.receiver.getStats()) ?? new Map<string, object>()).values()) {
      const stats = one as { type: string; packetsReceived?: number };
      if (stats.type === "inbound-rtp") packets += stats.packetsReceived ?? 0;
    }
    if (this.over) return;
    const what = this.pulse.look(packets, performance.now());
    if (what === "ask") this.say({ m: "ping" });
    if (what === "lost") this.end();
  }

  private changed(state: RTCPeerConnectionState): void {
    clearTimeout(this.disconnected);
    if (state === "connected") {
      clearTimeout(this.attempt);
      clearInterval(this.looking);
      this.looking = setInterval(() => void this.look(), LOOK_MS);
      this.events.up();
    }
    if (state === "disconnected") this.disconnected = setTimeout(() => this.end(), DISCONNECTED_MS);
    if (state === "failed" || state === "closed") this.end();
  }
}
