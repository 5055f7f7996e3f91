import { describe, expect, it } from "vitest";

import { canPictures, pictureCodecs, soundCodecs } from "../src/codecs";
import { linesFor, tilesFor } from "../src/lines";

const video = (mimeType: string, sdpFmtpLine?: string) => ({ mimeType, clockRate: 90_000, ...(sdpFmtpLine !== undefined && { sdpFmtpLine }) });
const OURS = video("video/H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f");
const CHROMIUM = [
  video("video/VP8"), video("video/rtx"), OURS,
  video("video/H264", "level-asymmetry-allowed=1;packetization-mode=0;profile-level-id=42e01f"),
  video("video/H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42001f"),
  video("video/H264", "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=64001f"), video("video/AV1"), video("video/red"),
];

describe("codecs", () => {
  it("are constrained baseline in mode 1 with retransmissions, and Opus", () => {
    expect(pictureCodecs(CHROMIUM)).toEqual([OURS, video("video/rtx")]);
    const opus = { mimeType: "audio/opus", clockRate: 48_000, channels: 2 };
    expect(soundCodecs([{ mimeType: "audio/PCMU", clockRate: 8_000 }, opus])).toEqual([opus]);
  });
  it("are taken however a browser spells them", () => {
    const spelled = video("VIDEO/h264", "Profile-Level-ID=42E01F; Packetization-Mode=1");
    expect(pictureCodecs([spelled])).toEqual([spelled]);
  });
  it("are none, not even retransmissions, where H.264 is missing", () => {
    expect(pictureCodecs([video("video/VP8"), video("video/rtx")])).toEqual([]);
  });
  it("allow pictures only where they go both ways", () => {
    expect(canPictures(CHROMIUM, CHROMIUM)).toBe(true);
    expect(canPictures([video("video/VP8")], CHROMIUM)).toBe(false);
    expect(canPictures(CHROMIUM, [])).toBe(false);
  });
});

describe("lines", () => {
  it("are sound, camera, screen, then pictures", () => {
    const lines = linesFor(true, 2).map((line) => `${line.kind} ${line.direction}`);
    expect(lines).toEqual(["audio sendrecv", "video sendonly", "video sendonly", "video recvonly", "video recvonly"]);
  });
  it("are sound alone without pictures", () => {
    expect(linesFor(false, 6)).toEqual([{ kind: "audio", direction: "sendrecv" }]);
  });
  it("take six pictures on a wide screen, two on a phone however it is turned", () => {
    expect([tilesFor(1366, 768), tilesFor(768, 1024), tilesFor(390, 844), tilesFor(932, 430)]).toEqual([6, 6, 2, 2]);
  });
});
