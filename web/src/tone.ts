// The tone by which somebody tries the loudspeaker, as a WAV file. Pure.

const RATE_HZ = 24_000;
const LENGTH_S = 1.2;
const NOTES_HZ = [523.25, 659.25, 783.99];
const LOUD = 0.25;
const HEADER_BYTES = 44;

/** Three notes, mono, 16 bits; each begins and ends softly, so that nothing clicks. */
export function toneWav(): ArrayBuffer {
  const count = Math.round(RATE_HZ * LENGTH_S);
  const file = new ArrayBuffer(HEADER_BYTES + 2 * count);
  const view = new DataView(file);
  const text = (at: number, word: string): void => [...word].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, file.byteLength - 8, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // the format's length
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // channels
  view.setUint32(24, RATE_HZ, true);
  view.setUint32(28, RATE_HZ * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * count, true);
  const each = count / NOTES_HZ.length;
  for (let at = 0; at < count; at += 1) {
    const hz = NOTES_HZ[Math.floor(at / each)] ?? 0;
    const envelope = Math.sin((Math.PI * (at % each)) / each);
    view.setInt16(HEADER_BYTES + 2 * at, Math.round(Math.sin((2 * Math.PI * hz * at) / RATE_HZ) * envelope * LOUD * 32_767), true);
  }
  return file;
}
