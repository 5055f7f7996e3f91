import type { View } from "../messages";
import { isChecked, isObserver } from "../page";
import { Controls } from "./controls";
import { Notice } from "./notice";
import { Picture } from "./picture";
import { useUi } from "./ui";

/** Where somebody waits: the lobby, apart as a witness, after being heard, or put out. */
export function Place({ view }: { view: View }) {
  const { page, session, say } = useUi();
  if (view.place === "hearing") return null;
  if (isChecked(page)) {
    const own = session.media.camera;
    return (
      <Notice heading="identity_heading" hint={say("identity_kept")}>
        {own !== null && page.own.camera === "on" && <div class="check"><Picture track={own} label={say("own_picture")} /></div>}
        <Controls view={view} />
      </Notice>
    );
  }
  return (
    <Notice heading={view.place} hint={say(`${view.place}_hint`)}>
      {view.place !== "removed" && !isObserver(page) && <Controls view={view} />}
    </Notice>
  );
}
