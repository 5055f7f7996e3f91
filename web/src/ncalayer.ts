// Asks NCALayer, a program on the person's own computer, to sign a text by the person's key. The key never comes to this page.

const ADDRESS = "wss://127.0.0.1:13579/";
/** So long may it take to answer at all; choosing a key and typing its password may take as long as it takes. */
const OPEN_MS = 5_000;
/**
 * The key for proving who one is (id-kp-clientAuth). It is an RSA key where the one for documents is one of GOST R 34.10, which the courtroom
 * cannot check.
 */
const PURPOSE = "1.3.6.1.5.5.7.3.2";

export type Signed = { cms: string } | { code: "no_ncalayer" | "not_signed" };

/** A detached CMS signature over the text, in base64. */
export function sign(text: string, locale: string): Promise<Signed> {
  return new Promise((done) => {
    let socket: WebSocket;
    try {
      socket = new WebSocket(ADDRESS);
    } catch {
      return done({ code: "no_ncalayer" });
    }
    let open = false;
    const end = (signed: Signed): void => {
      clearTimeout(patience);
      socket.onclose = socket.onerror = socket.onmessage = null;
      socket.close();
      done(signed);
    };
    const lost = (): void => end({ code: open ? "not_signed" : "no_ncalayer" });
    const patience = setTimeout(lost, OPEN_MS);
    socket.onclose = socket.onerror = lost;
    socket.onopen = () => {
      open = true;
      clearTimeout(patience);
      socket.send(JSON.stringify(requestOf(text, locale)));
    };
    socket.onmessage = ({ data }) => {
      const signed = answerOf(String(data));
      if (signed !== null) end(signed);
    };
  });
}

/** What NCALayer is asked: to sign the bytes that are given in base64, without putting them into the signature. */
export function requestOf(text: string, locale: string): object {
  const data = btoa(String.fromCharCode(...new TextEncoder().encode(text)));
  return {
    module: "kz.gov.pki.knca.basics",
    method: "sign",
    args: {
      format: "cms",
      data,
      signingParams: { decode: true, encapsulate: false, digested: false, tsaProfile: null },
      signerParams: { extKeyUsageOids: [PURPOSE], chain: null },
      locale,
    },
  };
}

/** What it says to that; null where it says something else, such as its version at the beginning. */
export function answerOf(said: string): Signed | null {
  let answer: { status?: unknown; errorCode?: unknown; body?: { result?: unknown } } | null;
  try {
    answer = JSON.parse(said) as typeof answer;
  } catch {
    return null; // it says that it is alive, in words of its own
  }
  if (typeof answer !== "object" || answer === null || (answer.status === undefined && answer.errorCode === undefined)) return null;
  const result = answer.status === true ? answer.body?.result : undefined;
  const cms: unknown = Array.isArray(result) ? result[0] : result;
  return typeof cms === "string" && cms !== "" ? { cms } : { code: "not_signed" }; // without a result: the person has closed its window
}
