// Whether another network has come, so that the connection must be dialled again at once. Pure.

export interface Network {
  online: boolean;
  /** "wifi", "cellular" ...; undefined where the browser does not tell. */
  type: string | undefined;
}

/** The browser tells of each change of its estimate; only another network, or one after none, matters. */
export function isOther(before: Network, after: Network): boolean {
  if (!after.online) return false;
  if (!before.online) return true;
  return before.type !== undefined && after.type !== undefined && after.type !== "none" && before.type !== after.type;
}

/** The network now. */
export function networkNow(browser: Navigator): Network {
  const connection = (browser as Navigator & { connection?: { type?: string } }).connection;
  return { online: browser.onLine, type: connection?.type };
}
