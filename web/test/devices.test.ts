import { afterEach, describe, expect, it, vi } from "vitest";

import { DEAD_MS, Watch, meter } from "../src/loudness";
import { ask } from "../src/own_media";
import { platformOf, saysRemedy, saysWhat, troubleOf, worthTryingApart } from "../src/permission";
import type { Device, Platform, Trouble } from "../src/permission";
import { keep } from "../src/storage";
import { toneWav } from "../src/tone";
import { en } from "../src/words/en";

describe("a trouble with a device", () => {
  it.each([
    ["NotAllowedError", "Permission denied", "denied"],
    ["NotAllowedError", "Permission denied by system", "denied_by_system"],
    ["SecurityError", "", "denied"],
    ["NotFoundError", "", "missing"],
    ["NotReadableError", "", "busy"],
    ["OverconstrainedError", "", "unsuitable"],
    ["NotSupportedError", "", "unsupported"],
    ["TypeError", "", "other"],
  ])("%s (%s) is %s", (name, message, trouble) => {
    expect(troubleOf({ name, message }, true)).toBe(trouble);
    expect(troubleOf({ name, message }, false)).toBe("insecure");
  });
  it("has words and a remedy, whatever it is", () => {
    const troubles: Trouble[] = ["denied", "denied_by_system", "missing", "busy", "unsuitable", "unsupported", "insecure", "other"];
    for (const trouble of troubles) {
      for (const device of ["microphone", "camera", "both", "screen"] satisfies Device[]) expect(en).toHaveProperty(saysWhat(trouble, device));
      for (const platform of ["ios", "android", "desktop"] satisfies Platform[]) expect(en).toHaveProperty(saysRemedy(trouble, platform));
    }
  });
  it("is tried apart where one device may be there, and allowed, and not where no page is given any", () => {
    const tried = ["missing", "busy", "denied", "denied_by_system", "insecure", "unsupported"].map((trouble) => worthTryingApart(trouble as Trouble));
    expect(tried).toEqual([true, true, true, true, false, false]);
  });
  it("is remedied by another browser where this one has no devices, and never by its settings", async () => {
    vi.stubGlobal("navigator", {});
    const error: unknown = await ask({ microphone: true, camera: true }).catch((reason: unknown) => reason);
    vi.unstubAllGlobals();
    const trouble = troubleOf(error as Error, true);
    expect([saysRemedy(trouble, "android"), saysRemedy(trouble, "android", true)]).toEqual(["no_webrtc_hint", "in_app_android"]);
  });
  it("is remedied elsewhere on each platform", () => {
    expect(platformOf("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)", 5)).toBe("ios");
    expect(platformOf("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", 5)).toBe("ios");
    expect(platformOf("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)", 0)).toBe("desktop");
    expect(platformOf("Mozilla/5.0 (Linux; Android 14; Pixel 8)", 5)).toBe("android");
  });
});

describe("the meter", () => {
  it("rises with the voice, by decibels", () => {
    expect(meter([0, 0, 0])).toBe(0);
    expect(meter(Array.from({ length: 10 }, () => 1))).toBe(1);
    expect(meter(Array.from({ length: 10 }, () => 10 ** -1.5))).toBeCloseTo(0.5);
    expect(meter([1e-6])).toBe(0);
  });
});

describe("a microphone that somebody chose", () => {
  const asked: MediaStreamConstraints[] = [];
  const browser = (isThere: boolean): void => {
    const getUserMedia = async (wanted: MediaStreamConstraints): Promise<MediaStream> => {
      asked.push(wanted);
      if (!isThere && (wanted.audio as MediaTrackConstraints).deviceId !== undefined) throw new DOMException("", "OverconstrainedError");
      return {} as MediaStream;
    };
    vi.stubGlobal("window", {});
    vi.stubGlobal("navigator", { mediaDevices: { getUserMedia } });
    keep("microphone", "headset");
  };
  const devices = (): unknown[] => asked.map((one) => (one.audio as MediaTrackConstraints).deviceId);
  afterEach(() => {
    keep("microphone", null);
    asked.length = 0;
    vi.unstubAllGlobals();
  });
  it("is demanded, for a browser may take any other where it is merely wished for", async () => {
    browser(true);
    await ask({ microphone: true, camera: false });
    expect(devices()).toEqual([{ exact: "headset" }]);
  });
  it("is done without when it is unplugged", async () => {
    browser(false);
    await ask({ microphone: true, camera: false });
    expect(devices()).toEqual([{ exact: "headset" }, undefined]);
  });
});

describe("a dead microphone", () => {
  it("has given nothing since it was doubted", () => {
    const watch = new Watch();
    expect([watch.isDead(0.5, 0), watch.isDead(0.5, DEAD_MS - 1), watch.isDead(0.5, DEAD_MS)]).toEqual([false, false, true]);
  });
  it("is not one that is merely silent for long after it was heard", () => {
    const watch = new Watch();
    watch.isDead(0, 0);
    watch.isDead(0.1, 1_000);
    expect(watch.isDead(0.1, 1_000_000)).toBe(false);
    watch.doubt();
    watch.isDead(0.1, 1_000_000);
    expect(watch.isDead(0.1, 1_000_000 + DEAD_MS)).toBe(true);
  });
  it("lives again when it gives anything", () => {
    const watch = new Watch();
    watch.isDead(0, 0);
    expect(watch.isDead(0, DEAD_MS)).toBe(true);
    expect(watch.isDead(0.001, DEAD_MS + 1_000)).toBe(false);
  });
});

it("the tone is a WAV file that is neither silent nor clipped, and begins and ends softly", () => {
  const view = new DataView(toneWav());
  const text = (at: number): string => String.fromCharCode(...[0, 1, 2, 3].map((i) => view.getUint8(at + i)));
  expect([text(0), text(8), text(36)]).toEqual(["RIFF", "WAVE", "data"]);
  expect(view.getUint32(4, true)).toBe(view.byteLength - 8);
  expect(view.getUint32(40, true)).toBe(view.byteLength - 44);
  const samples = Array.from({ length: (view.byteLength - 44) / 2 }, (_, at) => Math.abs(view.getInt16(44 + 2 * at, true)));
  expect(Math.max(...samples)).toBeGreaterThan(6_000);
  expect(Math.max(...samples)).toBeLessThan(16_000);
  expect(Math.max(samples[0] ?? 1, samples.at(-1) ?? 1)).toBeLessThan(50);
});
