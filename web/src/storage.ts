// What the browser keeps. A browser that keeps nothing (private windows, blocked storage) must still work: memory stands in.

const memory = new Map<string, string>();
const PREFIX = "courtroom.";

type Store = Pick<Storage, "getItem" | "setItem" | "removeItem">;

function each(): Store[] {
  const found: Store[] = [];
  for (const name of ["sessionStorage", "localStorage"] as const) {
    try {
      found.push(window[name]);
    } catch {
      // not allowed: do without
    }
  }
  return found;
}

/** What was kept under a name; this tab's own first. */
export function kept(name: string): string | null {
  for (const store of each()) {
    try {
      const value = store.getItem(PREFIX + name);
      if (value !== null) return value;
    } catch {
      // likewise
    }
  }
  return memory.get(name) ?? null;
}

/** Keep a value under a name, or nothing more under it. */
export function keep(name: string, value: string | null): void {
  if (value === null) memory.delete(name);
  else memory.set(name, value);
  for (const store of each()) {
    try {
      if (value === null) store.removeItem(PREFIX + name);
      else store.setItem(PREFIX + name, value);
    } catch {
      // full, or not allowed: the other one or memory has it
    }
  }
}
