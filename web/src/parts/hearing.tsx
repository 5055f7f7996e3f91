import type { View } from "../messages";
import { isChecked, isObserver } from "../page";
import { Channels } from "./channels";
import { Controls } from "./controls";
import { Heading } from "./notice";
import { People } from "./people";
import { Tiles } from "./tiles";
import { useUi } from "./ui";

/** Taking part, on the floor or in a private talk. */
export function Hearing({ view }: { view: View }) {
  const { page, say } = useUi();
  const talks = (view.room === "open" || view.room === "off_record") && view.unsure !== "room"; // else nobody hears anybody, and a list of people would deceive
  return (
    <section class="hearing">
      <div class="hidden"><Heading word={view.consultation ? "people_private" : "title"} /></div>
      {isObserver(page) && <p class="banner told">{say("observer")}</p>}
      {isChecked(page) && <p class="banner told">{say("identity_kept")}</p>}
      <Tiles view={view} />
      <Channels view={view} />
      {talks && <People view={view} />}
      {!isObserver(page) && <Controls view={view} />}
    </section>
  );
}
