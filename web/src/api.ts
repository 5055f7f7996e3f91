// Where this page's room is asked: beside the page, under whatever name it was given out (by the room itself, or by its centre).

export function api(name: string): URL {
  return new URL(`../api/${name}`, location.href);
}

export function socketOf(address: URL): URL {
  const socket = new URL(address);
  socket.protocol = address.protocol === "http:" ? "ws:" : "wss:";
  return socket;
}
