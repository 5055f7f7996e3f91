import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { LAST_WORD_MS } from "../src/backoff";
import { WatchingCall } from "../src/watching_call";

class Socket {
  static OPEN = 1;
  static made: Socket[] = [];
  readyState = 1;
  onopen: () => void = () => undefined;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  sent: string[] = [];
  constructor() {
    Socket.made.push(this);
  }
  send(text: string): void {
    this.sent.push(text);
  }
  close(): void {
    this.readyState = 3;
  }
}

class Transport extends EventTarget {
  state = "connected";
}

class Peer extends EventTarget {
  static transport: Transport;
  iceGatheringState = "complete";
  signalingState = "have-local-offer";
  localDescription = { sdp: "offer" };
  createOffer = async (): Promise<object> => ({});
  setLocalDescription = async (): Promise<void> => undefined;
  setRemoteDescription = async (): Promise<void> => undefined;
  getTransceivers = (): object[] => [{ receiver: { transport: Peer.transport, track: {} } }];
  close = (): void => undefined;
}

describe("a connection whose media the courtroom has ended", () => {
  const events = { up: vi.fn(), lost: vi.fn(), said: vi.fn(), tracks: vi.fn() };

  /** A call that lasts, whose other side then closes its media. */
  async function closedThere(): Promise<Socket> {
    const way = { door: "look", hello: null, lines: [], samePc: false, relays: () => null };
    const decode = (text: string): { m: string } => JSON.parse(text) as { m: string };
    new WatchingCall({ ...way, decode, ends: ({ m }) => m === "bye" }, events);
    const socket = Socket.made.at(-1) as Socket;
    socket.onopen();
    await vi.waitFor(() => expect(socket.sent.length).toBe(1));
    socket.onmessage?.({ data: '{"m":"answer","sdp":"answer"}' });
    await vi.waitFor(() => expect(events.tracks).toHaveBeenCalled());
    Peer.transport.state = "closed";
    Peer.transport.dispatchEvent(new Event("statechange"));
    return socket;
  }

  beforeEach(() => {
    vi.useFakeTimers();
    vi.stubGlobal("location", new URL("https://room.example/look/#t"));
    vi.stubGlobal("WebSocket", Socket);
    vi.stubGlobal("RTCPeerConnection", Peer);
    Peer.transport = new Transport();
  });
  afterEach(() => {
    vi.useRealTimers();
    vi.unstubAllGlobals();
    vi.clearAllMocks();
  });
  it("still hears why, for the last word may come later", async () => {
    const socket = await closedThere();
    vi.advanceTimersByTime(LAST_WORD_MS - 1);
    expect(events.lost).not.toHaveBeenCalled();
    socket.onmessage?.({ data: '{"m":"bye"}' });
    expect(events.said).toHaveBeenLastCalledWith({ m: "bye" });
    expect(events.lost).toHaveBeenCalledOnce();
  });
  it("is lost where no word comes, and at once where none can", async () => {
    await closedThere();
    vi.advanceTimersByTime(LAST_WORD_MS);
    expect(events.lost).toHaveBeenCalledOnce();
    events.tracks.mockClear();
    Peer.transport = new Transport();
    (await closedThere()).onclose?.();
    expect(events.lost).toHaveBeenCalledTimes(2);
  });
});
