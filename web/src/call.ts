// One attempt at the conference of somebody who takes part.

import type { Ends } from "./attempt";
import { Attempt } from "./attempt";
import { ownCertificate } from "./certificate";
import { canPictures } from "./codecs";
import { CAMERA, CAMERA_BPS, DOCUMENT_BPS, FIRST_TILE, SCREEN, SCREEN_BPS, SOUND, linesFor } from "./lines";
import type { FromPage, Shown, ToPage, Unvouched } from "./messages";
import { decode } from "./messages";
import { addLine } from "./peer";
import { LOOK_MS, Pulse } from "./pulse";
import { bySha256Alone, codeOf, fingerprintOf, randomNumber, textOf } from "./vouching";
import type { Doubt } from "./vouching";

export interface Given {
  microphone: MediaStreamTrack | null;
  camera: MediaStreamTrack | null;
  screen: MediaStreamTrack | null;
}

export interface CallEvents extends Ends {
  said(message: ToPage): void;
  /** Nobody has vouched for this page: what the clerk is to be read, or the person to sign. */
  doubted(doubt: { code: string; sign: boolean; text: string }): void;
  /** Somebody has, and the certificate of the courtroom, which page and courtroom had in common then, is this one. */
  vouched(room: string): void;
  /** Whoever answers is not the courtroom, or somebody is in the middle. It is over. */
  strange(): void;
  /** Sound and pictures of others, by their line; told when the answer is there. */
  tracks(sound: MediaStreamTrack, pictures: MediaStreamTrack[]): void;
}

/** Whether this browser can send and show the courtroom's pictures. */
export function picturesPossible(): boolean {
  const send = RTCRtpSender.getCapabilities?.("video")?.codecs ?? [];
  const receive = RTCRtpReceiver.getCapabilities?.("video")?.codecs ?? [];
  return canPictures(send, receive);
}

export class Call extends Attempt {
  private looking: ReturnType<typeof setInterval> | undefined;
  private person = "";
  private doubt: Doubt | null = null;
  private readonly pulse = new Pulse(performance.now());

  constructor(
    private readonly resume: string,
    /** The courtroom's certificate, where it is known; "": any is taken. */
    private room: string,
    private readonly plan: { pictures: boolean; tiles: number },
    private given: Given,
    private readonly events: CallEvents,
  ) {
    super("connect", events);
  }

  say(message: FromPage): void {
    this.send(message);
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

  /** Send the camera's pictures so large that a document can be read, or as in a hearing. */
  readable(wanted: boolean): void {
    const sender = this.peer?.getTransceivers()[CAMERA]?.sender;
    const settings = sender?.getParameters();
    const encoding = settings?.encodings[0];
    if (sender === undefined || settings === undefined || encoding === undefined) return;
    encoding.maxBitrate = wanted ? DOCUMENT_BPS : CAMERA_BPS;
    void sender.setParameters(settings).catch(() => undefined); // a small picture is better than none
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

  override close(): void {
    clearInterval(this.looking);
    super.close();
  }

  protected opened(): void {
    this.say({ m: "resume", token: this.resume });
  }

  protected read(text: string): void {
    this.pulse.heard(performance.now());
    const message = decode(text);
    if (message === null) return;
    if (message.m === "welcome") {
      this.person = message.person;
      this.begin(message.ice, (peer) => this.lay(peer));
    }
    if (message.m === "unvouched") this.doubted(message);
    if (message.m === "shown") void this.compare(message).catch(() => this.end());
    if (message.m === "vouched") this.trusted();
    if (message.m === "answer") {
      const sdp = bySha256Alone(message.sdp);
      if (this.room !== "" && fingerprintOf(sdp) !== this.room) return this.isStrange();
      this.finish(sdp, (tracks) => this.shown(tracks));
    }
    this.events.said(message);
  }

  protected override certificates(): Promise<RTCCertificate[]> {
    return ownCertificate();
  }

  protected override connected(): void {
    clearInterval(this.looking);
    this.looking = setInterval(() => void this.look(), LOOK_MS);
    super.connected();
  }

  private lay(peer: RTCPeerConnection): void {
    for (const [number, line] of linesFor(this.plan.pictures, this.plan.tiles).entries()) {
      const bps = number === CAMERA ? CAMERA_BPS : SCREEN_BPS;
      const sends = line.kind === "video" && line.direction === "sendonly";
      addLine(peer, line, sends ? bps : undefined);
    }
    this.give(this.given);
  }

  private doubted(asked: Unvouched): void {
    this.pause();
    this.doubt = {
      person: this.person, page: fingerprintOf(this.peer?.localDescription?.sdp ?? ""), number: randomNumber(), asked,
    };
    this.say({ m: "number", number: this.doubt.number });
  }

  private async compare(shown: Shown): Promise<void> {
    const { doubt } = this;
    if (doubt === null) return;
    const code = await codeOf(doubt, shown);
    if (this.over || doubt !== this.doubt) return;
    if (code === null || (this.room !== "" && this.room !== shown.room)) return this.isStrange();
    this.room = shown.room;
    this.events.doubted({ code, sign: doubt.asked.sign, text: textOf(doubt, shown) });
  }

  private trusted(): void {
    if (this.doubt === null) return;
    this.doubt = null;
    // Nobody needs to, where the hearing became public before there was anything to compare.
    if (this.room !== "") this.events.vouched(this.room);
    this.offerAgain();
  }

  private isStrange(): void {
    this.close();
    this.events.strange();
  }

  private shown([sound, ...others]: MediaStreamTrack[]): void {
    if (sound !== undefined) this.events.tracks(sound, others.slice(FIRST_TILE - 1));
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
}
