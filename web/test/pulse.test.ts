import { describe, expect, it } from "vitest";

import { ANSWER_MS, LOOK_MS, Pulse, QUIET_MS, SILENT_MS } from "../src/pulse";

describe("the courtroom's pulse", () => {
  /** What each look says while nothing comes, with its time; the courtroom answers at once where it is there. */
  function quiet(pulse: Pulse, from: number, until: number, answers: boolean): string[] {
    const said: string[] = [];
    for (let now = from; now <= until; now += LOOK_MS) {
      const what = pulse.look(7, now);
      if (what !== "fine") said.push(`${what} ${now}`);
      if (what === "ask" && answers) pulse.heard(now + 1);
    }
    return said;
  }

  it("is fine while sound comes", () => {
    const pulse = new Pulse(0);
    for (let now = 0; now < 60_000; now += LOOK_MS) expect(pulse.look(1 + now / 20, now)).toBe("fine");
  });
  it("is asked for soon when sound stops, and lost soon after where nobody answers", () => {
    const pulse = new Pulse(0);
    expect(pulse.look(7, 0)).toBe("fine");
    const lostAt = SILENT_MS + ANSWER_MS;
    expect(quiet(pulse, LOOK_MS, lostAt, false)).toEqual([`ask ${SILENT_MS}`, `lost ${lostAt}`]);
  });
  it("is asked for seldom where nothing but answers come", () => {
    const pulse = new Pulse(0);
    expect(pulse.look(7, 0)).toBe("fine");
    const asked = quiet(pulse, LOOK_MS, 60_000, true);
    expect(asked[0]).toBe(`ask ${SILENT_MS}`);
    expect(asked.every((what) => what.startsWith("ask"))).toBe(true);
    expect(asked.length).toBeLessThanOrEqual(1 + 60_000 / QUIET_MS);
  });
  it("is watched closely again when sound comes again", () => {
    const pulse = new Pulse(0);
    quiet(pulse, 0, 60_000, true);
    expect(pulse.look(8, 60_500)).toBe("fine");
    expect(pulse.look(8, 60_500 + SILENT_MS)).toBe("ask");
  });
  it("is not lost while sound comes, though an answer does not", () => {
    const pulse = new Pulse(0);
    expect(pulse.look(0, SILENT_MS)).toBe("ask");
    expect(pulse.look(9, SILENT_MS + ANSWER_MS)).toBe("fine");
  });
  it("is not lost by a page that slept and has not asked yet", () => {
    const pulse = new Pulse(0);
    expect(pulse.look(7, 0)).toBe("fine");
    expect(pulse.look(7, 3_600_000)).toBe("ask");
  });
});
