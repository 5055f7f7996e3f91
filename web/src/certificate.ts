// This browser's own certificate for media, the same after a reload: where somebody has vouched for it, nobody needs to do it again.
// Its key stays in the browser, which gives it to no script; a browser that keeps nothing has one for as long as the page is open.

const DATABASE = "courtroom", STORE = "keys", NAME = "dtls";
/** Longer than any hearing: one that ends sooner is not begun with. */
const LEFT_MS = 2 * 86_400_000;
const LASTS_MS = 90 * 86_400_000;
/** As it is kept: `expires` stands beside it for browsers whose certificates do not tell it. */
interface Kept {
  certificate: RTCCertificate;
  until_ms: number;
}

let own: Promise<RTCCertificate[]> | null = null;

/** The certificate, or none where the browser makes one for each connection alone. */
export function ownCertificate(): Promise<RTCCertificate[]> {
  own ??= keptOrMade();
  return own;
}

/** Keep it no longer: whoever comes to this browser next is somebody else. Open connections go on with it. */
export async function forgetCertificate(): Promise<void> {
  const before = own;
  own = null;
  try {
    await before; // one that is being made is kept first
    await within("readwrite", (store) => store.delete(NAME));
  } catch {
    // nothing is kept here
  }
}

async function keptOrMade(): Promise<RTCCertificate[]> {
  try {
    const before = await within<Kept | undefined>("readonly", (store) => store.get(NAME));
    if (before !== undefined && before.until_ms > Date.now() + LEFT_MS) return [before.certificate];
  } catch {
    // no storage, or what lies there is none: another one is made
  }
  if (RTCPeerConnection.generateCertificate === undefined) return [];
  const algorithm = { name: "ECDSA", namedCurve: "P-256", expires: LASTS_MS } as EcKeyGenParams;
  const certificate = await RTCPeerConnection.generateCertificate(algorithm);
  try {
    const kept: Kept = { certificate, until_ms: Math.min(certificate.expires, Date.now() + LASTS_MS) };
    await within("readwrite", (store) => store.put(kept, NAME));
  } catch {
    // private windows, and browsers that keep no certificates
  }
  return [certificate];
}

function within<T>(mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest): Promise<T> {
  return new Promise((done, failed) => {
    const opening = indexedDB.open(DATABASE, 1);
    opening.onupgradeneeded = () => opening.result.createObjectStore(STORE);
    opening.onerror = () => failed(opening.error);
    opening.onsuccess = () => {
      const database = opening.result;
      const asked = ask(database.transaction(STORE, mode).objectStore(STORE));
      asked.onsuccess = () => done(asked.result as T);
      asked.onerror = () => failed(asked.error);
      database.close(); // once what was asked is done
    };
  });
}
