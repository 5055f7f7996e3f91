import { useRef } from "preact/hooks";

import { identityEndWord, identityLines } from "../identity_page";
import type { IdentityPage } from "../identity_page";
import type { Say } from "../language";
import type { Checking } from "../messages";
import { Picture } from "./picture";
import { useStill } from "./still";
import { Top, useLanguage } from "./top";

/** What the clerk sees of somebody whose identity is checked. What becomes of the check is said by command, not here. */
export function IdentityScreen({ page, picture }: { page: IdentityPage; picture: MediaStreamTrack | null }) {
  const chosen = useLanguage();
  const { say } = chosen;
  return (
    <>
      <Top title={say("screen_title")} chosen={chosen} />
      <main>
        {page.phase !== "in" && (
          <section class="notice" role="status">
            <h1>{say("screen_ended")}</h1>
            <p>{say(page.phase === "no_link" ? "screen_unknown" : identityEndWord(page.code))}</p>
          </section>
        )}
        {page.phase === "in" && page.checking === null && <p class="banner trouble" role="status">{say("connecting")}</p>}
        {page.phase === "in" && page.checking !== null && (
          <Checked checking={page.checking} picture={page.seen ? picture : null} say={say} />
        )}
      </main>
    </>
  );
}

function Checked({ checking, picture, say }: { checking: Checking; picture: MediaStreamTrack | null; say: Say }) {
  return (
    <section class="identity">
      <p class="banner told">{say("screen_hint")}</p>
      <h1>{checking.name}, {say(`role_${checking.role}`)}</h1>
      {picture === null ? <p class="tile large"><span class="still">{say("no_picture")}</span></p> : <Person track={picture} say={say} />}
      <ul role="status">{identityLines(checking).map(({ word, values }) => <li key={word}>{say(word, values)}</li>)}</ul>
    </section>
  );
}

function Person({ track, say }: { track: MediaStreamTrack; say: Say }) {
  const figure = useRef<HTMLElement>(null);
  const still = useStill(figure, track, "person");
  return (
    <figure ref={figure} class="tile large">
      <Picture track={track} label={say("screen_title")} />
      {still && <p class="still">{say("no_picture")}</p>}
    </figure>
  );
}
