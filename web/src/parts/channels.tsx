import { sayLanguage } from "../language";
import type { View } from "../messages";
import { useUi } from "./ui";

/** Which interpreter one hears. Shown also while a channel that was chosen has no interpreter, so that one can go back. */
export function Channels({ view }: { view: View }) {
  const { session, say, language } = useUi();
  const codes = [...new Set([...view.channels, ...(view.listens === "" ? [] : [view.listens])])];
  if (codes.length === 0) return null;
  return (
    <label class="channels">
      {say("listen")}
      <select value={view.listens} onChange={(event) => session.act({ act: "listen", channel: event.currentTarget.value })}>
        <option value="">{say("listen_floor")}</option>
        {codes.map((code) => <option key={code} value={code}>{sayLanguage(language, code)}</option>)}
      </select>
    </label>
  );
}
