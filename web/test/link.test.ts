import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { api, socketOf } from "../src/api";
import { endWord, isForgotten, mayComeBack, mayTryAgain, noticeWord, refusalWord } from "../src/outcomes";
import { deviceName, join, placeOf, tokenOf } from "../src/seat";
import { inApp } from "../src/webview";

const TOKEN = "q3bD0Yk2b0Xo5e-_Pz7t0m1l2n3o4p5q6r7s8t9u0vW";

describe("the link's token", () => {
  it("is the fragment", () => {
    expect(tokenOf(`#${TOKEN}`)).toBe(TOKEN);
  });
  it("is found with what a messenger has put behind it", () => {
    for (const end of [".", ")", "%20", "»,", "%E2%80%9D"]) expect(tokenOf(`#${TOKEN}${end}`)).toBe(TOKEN);
  });
  it.each(["", "#", "#short", "#<script>alert(1)</script>", "#%E0%A4%A", `#${"a".repeat(1_025)}`])("is none in %s", (fragment) => {
    expect(tokenOf(fragment)).toBe("");
  });
  it("cannot be read out of the place of what leads back, nor found by the hash that the court keeps", async () => {
    const place = await placeOf(TOKEN);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(TOKEN)));
    expect(place).toMatch(/^resume\.[0-9a-f]{24}$/);
    expect(place).not.toContain([...digest.subarray(0, 12)].map((byte) => byte.toString(16).padStart(2, "0")).join(""));
    expect(await placeOf(`${TOKEN}x`)).not.toBe(place);
  });
});

it("a device keeps one name, of the form that vks takes, even where the browser keeps nothing", () => {
  vi.stubGlobal("window", {}); // no storage
  expect(deviceName()).toMatch(/^[A-Za-z0-9_-]{8,64}$/);
  expect(deviceName()).toBe(deviceName());
  vi.unstubAllGlobals();
});

describe("joining", () => {
  beforeEach(() => void vi.stubGlobal("location", new URL("https://room.example/join/#token")));
  afterEach(() => void vi.unstubAllGlobals());
  const answering = (status: number, body: string) => vi.stubGlobal("fetch", vi.fn(async () => new Response(body, { status })));

  it("posts the token and the device, and gets what leads back", async () => {
    answering(200, '{"resume":"abc"}');
    expect(await join(TOKEN, "device-1")).toEqual({ resume: "abc" });
    const [address, request] = vi.mocked(fetch).mock.calls[0] ?? [];
    const body = JSON.stringify({ token: TOKEN, device: "device-1" });
    expect([String(address), request?.method, request?.body]).toEqual(["https://room.example/api/join", "POST", body]);
  });
  it("tells why not", async () => {
    answering(403, '{"code":"early","at_utc_us":1}');
    expect(await join(TOKEN, "device-1")).toEqual({ code: "early", at_utc_us: 1 });
  });
  it("asks a courtroom that is just starting again, and tells so in the end", async () => {
    vi.useFakeTimers();
    const starting = (): Response => new Response('{"code":"starting","at_utc_us":0}', { status: 503 });
    const asked = vi.fn(async () => (asked.mock.calls.length < 4 ? starting() : new Response('{"resume":"abc"}', { status: 200 })));
    vi.stubGlobal("fetch", asked);
    const joined = join(TOKEN, "d");
    await vi.runAllTimersAsync();
    expect([await joined, asked.mock.calls.length]).toEqual([{ resume: "abc" }, 4]);
    vi.stubGlobal("fetch", vi.fn(async () => starting()));
    const refused = join(TOKEN, "d");
    await vi.runAllTimersAsync();
    expect(await refused).toEqual({ code: "starting", at_utc_us: 0 });
    vi.useRealTimers();
  });
  it("takes no seat from a refusal, nor from nonsense", async () => {
    answering(403, '{"resume":"abc"}');
    expect(await join(TOKEN, "d")).toEqual({ code: "other", at_utc_us: 0 });
    answering(200, "null");
    expect(await join(TOKEN, "d")).toEqual({ code: "other", at_utc_us: 0 });
    answering(200, "<html>");
    expect(await join(TOKEN, "d")).toEqual({ code: "unreachable", at_utc_us: 0 });
    answering(502, "{}");
    expect(await join(TOKEN, "d")).toEqual({ code: "unreachable", at_utc_us: 0 });
  });
});

it("the room is asked beside the page, also where its centre gave the page out", () => {
  for (const [page, socket] of [
    ["https://room.example/join/#t", "wss://room.example/api/connect"],
    ["https://centre.example/r/lab/join/?lang=kk#t", "wss://centre.example/r/lab/api/connect"],
    ["http://127.0.0.1:8443/join/", "ws://127.0.0.1:8443/api/connect"],
  ] as const) {
    vi.stubGlobal("location", new URL(page));
    expect(String(socketOf(api("connect")))).toBe(socket);
  }
  vi.unstubAllGlobals();
});

describe("codes", () => {
  it("have words, known or not", () => {
    for (const code of ["unknown", "no_hearing", "early", "expired", "too_many"]) expect(refusalWord(code)).toBe(`join_${code}`);
    expect([refusalWord("?"), endWord("?"), noticeWord("?")]).toEqual(["join_other", "end_other", "refused_other"]);
    expect(endWord("removed")).toBe("join_removed");
    expect([endWord("gone"), mayComeBack("gone")]).toEqual(["end_gone", true]);
  });
  it("tell whether another press may lead in", () => {
    expect(["unknown", "expired"].map(mayTryAgain)).toEqual([false, false]);
    for (const code of ["no_hearing", "early", "too_many", "full", "removed", "starting", "unreachable", "?"]) expect([code, mayTryAgain(code)]).toEqual([code, true]);
  });
  it("tell what may be done", () => {
    expect([mayComeBack("removed"), mayComeBack("hearing_over"), isForgotten("unknown"), isForgotten("removed")]).toEqual([true, false, true, false]);
  });
});

describe("an app's own browser", () => {
  const IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)";
  const ANDROID = "Mozilla/5.0 (Linux; Android 14; Pixel 8";
  it.each([
    [`${ANDROID}; wv) AppleWebKit/537.36 Version/4.0 Chrome/140.0 Mobile Safari/537.36 Telegram-Android/11.2`, "Telegram"],
    [`${ANDROID}; wv) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36 Instagram 350.0`, "Instagram"],
    [`${IPHONE} Mobile/15E148 [FBAN/FBIOS;FBAV/480.0]`, "Facebook"],
    [`${ANDROID}) AppleWebKit/537.36 Chrome/140.0 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/480.0;]`, "Facebook"],
    [`${IPHONE} Mobile/15E148 WhatsApp/24.1`, "WhatsApp"],
    [`${ANDROID}; wv) AppleWebKit/537.36 Version/4.0 Chrome/140.0 Mobile Safari/537.36`, "?"],
    [`${IPHONE} Mobile/15E148`, "?"],
  ])("is known by %s", (userAgent, app) => {
    expect(inApp(userAgent, false)).toBe(app);
  });
  it("is known by what Telegram puts into the page", () => {
    expect(inApp(`${IPHONE} Version/18.1 Mobile/15E148 Safari/604.1`, true)).toBe("Telegram");
  });
  it.each([
    `${ANDROID}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Mobile Safari/537.36`,
    `${IPHONE} Version/18.1 Mobile/15E148 Safari/604.1`,
    `${IPHONE} CriOS/140.0 Mobile/15E148 Safari/604.1`,
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Safari/537.36",
    "Mozilla/5.0 (Android 14; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/140.0 YaBrowser/25.8 Safari/537.36",
  ])("is not %s", (userAgent) => {
    expect(inApp(userAgent, false)).toBe("");
  });
});
