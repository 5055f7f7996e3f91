// What every peer connection of these pages does in the same way.

import { pictureCodecs, soundCodecs } from "./codecs";
import type { Line } from "./lines";

/** So long an offer waits for this side's own addresses. The courtroom needs none of them: it is this side that reaches for it. */
const GATHER_MS = 500;

/** Add a media line that offers what the courtroom agrees on. */
export function addLine(peer: RTCPeerConnection, line: Line, maxBitrate?: number): void {
  const encodings = maxBitrate === undefined ? {} : { sendEncodings: [{ maxBitrate }] };
  const made = peer.addTransceiver(line.kind, { direction: line.direction, ...encodings });
  const end = line.direction === "sendonly" ? RTCRtpSender : RTCRtpReceiver;
  const all = end.getCapabilities?.(line.kind)?.codecs ?? [];
  const chosen = line.kind === "audio" ? soundCodecs(all) : pictureCodecs(all);
  try {
    if (chosen.length > 0) made.setCodecPreferences?.(chosen);
  } catch {
    // A browser that does not let choose offers all it has, like those that have no such function; the courtroom takes what it knows.
  }
}

/** The offer, with this side's addresses as far as they are known soon. */
export async function offerOf(peer: RTCPeerConnection): Promise<string> {
  await peer.setLocalDescription(await peer.createOffer());
  await gathered(peer);
  return peer.localDescription?.sdp ?? "";
}

/** Be told when the courtroom closes its end: the connection itself would notice it after many seconds. */
export function onFarEnd(peer: RTCPeerConnection, end: () => void): void {
  const transport = peer.getTransceivers()[0]?.receiver.transport;
  transport?.addEventListener("statechange", () => (transport.state === "closed" || transport.state === "failed") && end());
}

async function gathered(peer: RTCPeerConnection): Promise<void> {
  if (peer.iceGatheringState === "complete") return;
  await new Promise<void>((done) => {
    setTimeout(done, GATHER_MS);
    peer.addEventListener("icegatheringstatechange", () => peer.iceGatheringState === "complete" && done());
  });
}
