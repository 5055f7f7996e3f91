// A STUN or TURN server as browsers take it. Pure.

import type { IceServer } from "./messages";

/** Browsers refuse an empty user name beside a STUN server. */
export function withoutEmpty(server: IceServer): RTCIceServer {
  return server.username === "" ? { urls: server.urls } : server;
}
