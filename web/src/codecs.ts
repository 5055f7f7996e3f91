// Which codecs this page offers: what every phone has, and the courtroom agrees on. Pure.

export interface Codec {
  mimeType: string;
  clockRate: number;
  channels?: number;
  sdpFmtpLine?: string;
}

/** H.264 constrained baseline 3.1 in packetization mode 1, and nothing else but its retransmissions. */
export function pictureCodecs<C extends Codec>(all: readonly C[]): C[] {
  const h264 = all.filter((codec) => isH264(codec));
  if (h264.length === 0) return [];
  return [...h264, ...all.filter((codec) => codec.mimeType.toLowerCase() === "video/rtx")];
}

/** Opus. */
export function soundCodecs<C extends Codec>(all: readonly C[]): C[] {
  return all.filter((codec) => codec.mimeType.toLowerCase() === "audio/opus");
}

/** Whether pictures can go both ways. Where they cannot, one takes part by sound alone. */
export function canPictures(send: readonly Codec[], receive: readonly Codec[]): boolean {
  return send.some(isH264) && receive.some(isH264);
}

function isH264(codec: Codec): boolean {
  const parameters = (codec.sdpFmtpLine ?? "").toLowerCase().split(";").map((part) => part.trim());
  return (
    codec.mimeType.toLowerCase() === "video/h264" &&
    parameters.includes("packetization-mode=1") &&
    parameters.includes("profile-level-id=42e01f")
  );
}
