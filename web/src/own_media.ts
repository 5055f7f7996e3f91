// This person's microphone, camera and screen: opened, held, given up. Nothing is sent from here.

import { CAMERA_SIZE, DOCUMENT_SIZE, SCREEN_SIZE } from "./lines";
import { keep, kept } from "./storage";

export type Kind = "microphone" | "camera";

const SOUND = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };

/** Asks for devices; throws what the browser throws (permission.ts has the words for it). */
export async function ask(kinds: { microphone: boolean; camera: boolean }): Promise<MediaStream> {
  if (navigator.mediaDevices?.getUserMedia === undefined) throw new DOMException("no media devices", "NotSupportedError");
  try {
    return await navigator.mediaDevices.getUserMedia(constraints(kinds, kept));
  } catch (error) {
    if ((error as Error).name !== "OverconstrainedError") throw error;
    return navigator.mediaDevices.getUserMedia(constraints(kinds, () => null)); // the chosen device is unplugged: any other will do
  }
}

/** What is asked for. A chosen device is demanded: Chromium takes the one that is open already for one that is merely wished for. */
function constraints(kinds: { microphone: boolean; camera: boolean }, chosen: (kind: Kind) => string | null): MediaStreamConstraints {
  const demand = (kind: Kind): { deviceId?: ConstrainDOMString } => {
    const id = chosen(kind);
    return id === null || id === "" ? {} : { deviceId: { exact: id } };
  };
  return {
    audio: kinds.microphone && { ...SOUND, ...demand("microphone") },
    video: kinds.camera && {
      ...demand("camera"),
      width: { ideal: CAMERA_SIZE.width }, height: { ideal: CAMERA_SIZE.height }, frameRate: { ideal: CAMERA_SIZE.rate, max: 30 },
      ...(chosen("camera") === null ? { facingMode: { ideal: "user" } } : {}),
    },
  };
}

/** Asks for a screen. Only after a press: browsers demand it. */
export async function askScreen(): Promise<MediaStreamTrack> {
  const stream = await navigator.mediaDevices.getDisplayMedia({
    video: { width: { max: SCREEN_SIZE.width }, height: { max: SCREEN_SIZE.height }, frameRate: { max: SCREEN_SIZE.rate } },
    audio: false,
  });
  const track = stream.getVideoTracks()[0];
  if (track === undefined) throw new DOMException("no screen", "NotFoundError");
  track.contentHint = "detail"; // letters matter more than motion
  return track;
}

export const canShare = (): boolean => typeof navigator.mediaDevices?.getDisplayMedia === "function";

/** Which device a person chose, for the next time too. */
export const choose = (kind: Kind | "speaker", id: string): void => keep(kind, id);

/** What this person sends, as far as it is there. */
export class OwnMedia {
  microphone: MediaStreamTrack | null = null;
  camera: MediaStreamTrack | null = null;
  screen: MediaStreamTrack | null = null;

  /**
   * @param onChange a track was put or taken away.
   * @param onDead the microphone's or the camera's track gives nothing any more; or does again.
   */
  constructor(
    private readonly onChange: () => void,
    private readonly onDead: (kind: Kind, dead: boolean) => void,
  ) {}

  /** Hold this track in place of the one before, which is stopped. */
  put(kind: Kind | "screen", track: MediaStreamTrack | null): void {
    const before = this[kind];
    if (before === track) return;
    if (before !== null) {
      before.onended = before.onmute = before.onunmute = null;
      before.stop();
    }
    this[kind] = track;
    if (track !== null && kind !== "screen") {
      // An incoming call mutes the track on one phone and ends it on another.
      track.onended = track.onmute = () => this.onDead(kind, true);
      track.onunmute = () => this.onDead(kind, false);
    }
    this.onChange();
  }

  /** Have the camera give pictures in which letters can be read, as far as it can; or as in a hearing again. */
  readable(wanted: boolean): void {
    if (this.camera === null) return;
    const { width, height, rate } = wanted ? DOCUMENT_SIZE : CAMERA_SIZE;
    this.camera.contentHint = wanted ? "detail" : "";
    const size = { width: { ideal: width }, height: { ideal: height }, frameRate: { ideal: rate, max: 30 } };
    void this.camera.applyConstraints(size).catch(() => undefined); // it gives what it gave
  }

  /** Give up everything: lamps go out. */
  stop(): void {
    for (const kind of ["microphone", "camera", "screen"] as const) this.put(kind, null);
  }
}
