import { describe, expect, it } from "vitest";

import { answerOf, requestOf } from "../src/ncalayer";
import { bySha256Alone, codeOf, fingerprintOf, inGroups, textOf } from "../src/vouching";
import type { Doubt } from "../src/vouching";

const FIRST = Array.from({ length: 32 }, () => "Aa").join(":"), SECOND = Array.from({ length: 32 }, () => "BB").join(":");
const hex = (byte: string): string => byte.repeat(32);
const doubt: Doubt = {
  person: "g1", page: hex("11"), number: hex("44"),
  asked: {
    m: "unvouched", hearing: "h-1 Іс №7", commitment: "62f3039e35468f30f42d5bf581cc1ce5c64fb19d71104caef7a5c2eef5f6dd20", sign: true,
  },
};
const shown = { m: "shown", room: hex("22"), number: hex("33") } as const;

describe("what is compared", () => {
  it("is what the courtroom reckons: the same numbers stand in tests/vks/test_vouching.py", async () => {
    expect(await codeOf(doubt, shown)).toBe("16464626444026686458");
    expect(textOf(doubt, shown)).toBe(`courtroom-dtls-v1\nh-1 Іс №7\ng1\n${hex("11")}\n${hex("22")}\n`);
  });
  it("is nothing where the courtroom had fixed another certificate or number", async () => {
    expect(await codeOf(doubt, { ...shown, room: hex("23") })).toBeNull();
    expect(await codeOf(doubt, { ...shown, number: hex("34") })).toBeNull();
  });
  it("is another code for another certificate or number of this page", async () => {
    expect(await codeOf({ ...doubt, page: hex("12") }, shown)).not.toBe("16464626444026686458");
    expect(await codeOf({ ...doubt, number: hex("45") }, shown)).not.toBe("16464626444026686458");
  });
  it("is shown in groups", () => {
    expect(inGroups("16464626444026686458")).toBe("16464 62644 40266 86458");
  });
});

describe("the certificate that a description promises", () => {
  it("is the one of all its lines", () => {
    expect(fingerprintOf(`v=0\r\na=fingerprint:sha-256 ${FIRST}\r\nm=audio\r\na=fingerprint:SHA-256 ${FIRST.toLowerCase()}\r\n`)).toBe(hex("aa"));
  });
  it.each([
    "", `a=fingerprint:sha-512 ${FIRST}\r\n`, "a=fingerprint:sha-256 AA:BB\r\n",
    `a=fingerprint:sha-256 ${FIRST}\r\na=fingerprint:sha-256 ${SECOND}\r\n`,
    `a=fingerprint:sha-256 ${FIRST}\r\na=fingerprint:SHA-256 x\r\n`,
  ])("is none in %j", (sdp) => {
    expect(fingerprintOf(sdp)).toBe("");
  });
  it("is left alone in it, so that no other one is taken beside it", () => {
    const own = `a=fingerprint:sha-256 ${FIRST}\r\n`;
    expect(bySha256Alone(`v=0\r\n${own}a=fingerprint:sha-512 ${SECOND}\r\na=Fingerprint:sha-1 AA\r\na=setup:active\r\n`)).toBe(
      `v=0\r\n${own}a=setup:active\r\n`,
    );
  });
});

describe("a line that some browser may read as another fingerprint", () => {
  const own = `a=fingerprint:sha-256 ${FIRST}`;
  it.each([
    `a= fingerprint:sha-256 ${SECOND}`, `a=:fingerprint:sha-256 ${SECOND}`, `a=fingerprint sha-256 ${SECOND}`, `a=\tfingerprint:sha-256 ${SECOND}`,
    `a=fingerprint:sha-512 ${SECOND}\rX`, `a=x:1\ra=fingerprint:sha-512 ${SECOND}`, `a=x:1\u2028a=fingerprint:sha-512 ${SECOND}`,
    `A=FINGERPRINT:sha-512 ${SECOND}`, `a=fingerprint:sha-256  ${SECOND}`, `a=fingerprint:sha-256 ${SECOND} `,
  ])("is taken out: %j", (line) => {
    expect(bySha256Alone(`v=0\r\n${own}\r\n${line}\r\na=setup:active\r\n`)).not.toContain(SECOND);
    expect(bySha256Alone(`v=0\r\n${own}\r\n${line}\r\na=setup:active\r\n`)).toContain(`v=0\r\n${own}\r\n`);
  });
});

describe("NCALayer", () => {
  it("is asked for a detached signature over the text's bytes", () => {
    expect(requestOf("Іс\n", "kk")).toMatchObject({
      module: "kz.gov.pki.knca.basics", method: "sign",
      args: { format: "cms", data: "0IbRgQo=", signingParams: { decode: true, encapsulate: false, digested: false }, locale: "kk" },
    });
  });
  it.each(['{"result":{"version":"1.4"}}', "--heartbeat--", "{}", "null", "7"])("has not answered yet by %s", (said) => {
    expect(answerOf(said)).toBeNull();
  });
  it("gives the signature alone or in a list", () => {
    expect(answerOf('{"status":true,"body":{"result":["MII"]}}')).toEqual({ cms: "MII" });
    expect(answerOf('{"status":true,"body":{"result":"MII"}}')).toEqual({ cms: "MII" });
  });
  it.each(['{"status":true,"body":{}}', '{"status":false,"code":"SIGNING_FAILURE"}', '{"success":false,"errorCode":"MODULE_NOT_FOUND"}'])(
    "has not signed by %s",
    (said) => {
      expect(answerOf(said)).toEqual({ code: "not_signed" });
    },
  );
});
