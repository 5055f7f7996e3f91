import type { View } from "../messages";
import { useUi } from "./ui";

/** Everybody whom one hears and is heard by. */
export function People({ view }: { view: View }) {
  const { page, say } = useUi();
  return (
    <section class="people" aria-label={say(view.consultation ? "people_private" : "people")}>
      <h2>{say(view.consultation ? "people_private" : "people")}</h2>
      {view.others.length === 0 && <p>{say("people_none")}</p>}
      <ul>
        {page.welcome !== null && (
          <li>{page.welcome.name}, {say(`role_${page.welcome.role}`)} ({say("you")}){view.hand && <strong> ✋ {say("has_hand")}</strong>}</li>
        )}
        {view.others.map((one) => (
          <li key={one.person}>
            {one.name}, {say(`role_${one.role}`)}
            {one.hand && <strong> ✋ {say("has_hand")}</strong>}
            {one.muted && <em> – {say("is_muted")}</em>}
          </li>
        ))}
      </ul>
    </section>
  );
}
