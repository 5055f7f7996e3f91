import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { FIRST_MS, LONGEST_MS, waitMs } from "../src/backoff";
import { Dialler } from "../src/dialler";
import { isOther } from "../src/network";

describe("the wait", () => {
  it("doubles from 0.3 s to 3 s", () => {
    expect([0, 1, 2, 3, 4, 100].map((failed) => waitMs(failed, 0))).toEqual([300, 600, 1_200, 2_400, 3_000, 3_000]);
  });
  it("is spread, and stays within its bounds", () => {
    for (let failed = 0; failed < 10; failed += 1) {
      for (const random of [0, 0.3, 0.999]) {
        expect(waitMs(failed, random)).toBeGreaterThanOrEqual(FIRST_MS);
        expect(waitMs(failed, random)).toBeLessThanOrEqual(LONGEST_MS);
      }
    }
    expect(waitMs(5, 0.9)).toBeLessThan(waitMs(5, 0));
  });
});

describe("dialling", () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  function dialler() {
    const calls: { lost: () => void; up: () => void; close: ReturnType<typeof vi.fn<() => void>> }[] = [];
    const onLost = vi.fn();
    const made = new Dialler(
      (lost, up) => {
        const call = { lost, up, close: vi.fn<() => void>() };
        calls.push(call);
        return call;
      },
      onLost,
      () => 0,
    );
    return { made, calls, onLost };
  }

  it("comes again after a wait that grows, and begins anew once it stood", () => {
    const { made, calls, onLost } = dialler();
    made.start();
    calls[0]?.lost();
    vi.advanceTimersByTime(299);
    expect(calls.length).toBe(1);
    vi.advanceTimersByTime(1);
    expect(calls.length).toBe(2);
    calls[1]?.lost();
    vi.advanceTimersByTime(599);
    expect(calls.length).toBe(2);
    vi.advanceTimersByTime(1);
    calls[2]?.up();
    calls[2]?.lost();
    vi.advanceTimersByTime(300);
    expect([calls.length, onLost.mock.calls.length]).toEqual([4, 3]);
  });
  it("believes a call's loss once, and no more after the next has begun", () => {
    const { made, calls, onLost } = dialler();
    made.start();
    calls[0]?.lost();
    calls[0]?.lost();
    vi.advanceTimersByTime(10_000);
    calls[0]?.lost();
    vi.advanceTimersByTime(10_000);
    expect([calls.length, onLost.mock.calls.length]).toEqual([2, 1]);
  });
  it("comes at once with another network, in place of the call that stood", () => {
    const { made, calls } = dialler();
    made.start();
    calls[0]?.up();
    made.atOnce();
    expect(calls.length).toBe(2);
    expect(calls[0]?.close).toHaveBeenCalledOnce();
    calls[0]?.lost();
    vi.advanceTimersByTime(10_000);
    expect(calls.length).toBe(2);
    expect(made.call).toBe(calls[1]);
  });
  it("does not wait out the old wait when another network comes", () => {
    const { made, calls } = dialler();
    made.start();
    calls[0]?.lost();
    made.atOnce();
    vi.advanceTimersByTime(10_000);
    expect(calls.length).toBe(2);
  });
  it("ends for good", () => {
    const { made, calls } = dialler();
    made.start();
    calls[0]?.lost();
    made.stop();
    made.atOnce();
    vi.advanceTimersByTime(10_000);
    expect(calls.length).toBe(1);
  });
});

describe("another network", () => {
  const wifi = { online: true, type: "wifi" };
  it("is one of another kind, or any after none", () => {
    expect(isOther(wifi, { online: true, type: "cellular" })).toBe(true);
    expect(isOther({ online: false, type: undefined }, { online: true, type: undefined })).toBe(true);
  });
  it("is not a new estimate of the same one, nor the loss of it", () => {
    expect(isOther(wifi, wifi)).toBe(false);
    expect(isOther(wifi, { online: true, type: undefined })).toBe(false);
    expect(isOther(wifi, { online: false, type: "none" })).toBe(false);
  });
});
