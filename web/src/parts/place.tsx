import type { View } from "../messages";
import { isObserver } from "../page";
import { Controls } from "./controls";
import { Notice } from "./notice";
import { useUi } from "./ui";

/** Where somebody waits: the lobby, apart as a witness, after being heard, or put out. */
export function Place({ view }: { view: View }) {
  const { page, say } = useUi();
  if (view.place === "hearing") return null;
  return (
    <Notice heading={view.place} hint={say(`${view.place}_hint`)}>
      {view.place !== "removed" && !isObserver(page) && <Controls view={view} />}
    </Notice>
  );
}
