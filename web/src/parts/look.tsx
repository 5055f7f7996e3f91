import { useEffect, useRef, useState } from "preact/hooks";

import type { Say } from "../language";
import type { LookTile } from "../look_page";
import { lookEndWord, lookTiles, mayLookAgain, timeLeft } from "../look_page";
import type { LookSession } from "../look_session";
import type { Word } from "../words/en";
import { Picture } from "./picture";
import { useStill } from "./still";
import { Top, useLanguage } from "./top";

/** What somebody of the Situation Centre sees: the hearing, in whose name it is shown to him, and the time that is left. */
export function Look({ session }: { session: LookSession }) {
  const chosen = useLanguage();
  return (
    <>
      <Top title={session.page.screen?.title || chosen.say("title")} chosen={chosen}>
        {session.page.phase === "in" && <button class="leave" onClick={() => session.leave()}>{chosen.say("look_leave")}</button>}
      </Top>
      <main><Phase session={session} say={chosen.say} /></main>
    </>
  );
}

interface Part {
  session: LookSession;
  say: Say;
}

function Phase({ session, say }: Part) {
  const { page } = session;
  switch (page.phase) {
    case "no_link":
      return <section class="notice"><h1>{say("no_link")}</h1></section>;
    case "ask":
      return (
        <section class="notice">
          <h1>{say("look_heading")}</h1>
          <p>{say("look_hint")}</p>
          <Begin session={session} say={say} word="look_begin" />
        </section>
      );
    case "over":
      return (
        <section class="notice">
          <h1>{say("look_ended")}</h1>
          <p>{say(lookEndWord(page.code))}</p>
          {mayLookAgain(page.code) && <Begin session={session} say={say} word="try_again" />}
        </section>
      );
    case "in":
      return <Inside session={session} say={say} />;
  }
}

function Begin({ session, say, word }: Part & { word: Word }) {
  return <p><button class="main" onClick={() => session.begin()}>{say(word)}</button></p>;
}

function Inside({ session, say }: Part) {
  const { page, pictures } = session;
  const { screen, looking } = page;
  const tiles = lookTiles(page).flatMap((tile) => {
    const track = pictures[tile.line];
    return track === undefined ? [] : [{ tile, track }];
  });
  return (
    <>
      <div role="status">
        {screen === null && <p class="banner trouble">{say(looking === null ? "connecting" : "line_lost")}</p>}
        {screen !== null && screen.unsure !== "room" && (
          <p class={screen.room === "open" ? "banner told" : "banner stop"}>{say(`display_${screen.room}`)}</p>
        )}
        {screen?.unsure === "room" && <p class="banner stop">{say("display_unknown")}</p>}
        {screen?.unsure === "recording" && <p class="banner stop">{say("recording_unknown")}</p>}
        {looking !== null && <p class="banner told">{say("look_as", { name: looking.person })} <Left session={session} say={say} /></p>}
        {page.quality === "sound" && <p class="banner trouble">{say("link_sound")}</p>}
      </div>
      {page.soundLocked && (
        <p class="banner trouble" role="alert">
          {say("start_sound_hint")} <button class="main" onClick={() => void session.sound.start()}>{say("start_sound")}</button>
        </p>
      )}
      <div class="tiles">{tiles.map(({ tile, track }) => <Tile key={track.id} tile={tile} track={track} say={say} />)}</div>
      {screen !== null && screen.people.length > 0 && (
        <section class="people">
          <ul>{screen.people.map((one) => <li key={one.person}>{one.name}, {say(`role_${one.role}`)}</li>)}</ul>
        </section>
      )}
    </>
  );
}

/** The time that is left, each second. */
function Left({ session, say }: Part) {
  const [now, setNow] = useState(() => Date.now());
  useEffect(() => {
    const ticking = setInterval(() => setNow(Date.now()), 1_000);
    return () => clearInterval(ticking);
  }, []);
  return <span class="left" aria-live="off">{say("look_left", { time: timeLeft(session.page, now) })}</span>;
}

function Tile({ tile, track, say }: { tile: LookTile; track: MediaStreamTrack; say: Say }) {
  const figure = useRef<HTMLElement>(null);
  const still = useStill(figure, track, tile.shown);
  const name = tile.word === null ? tile.name : say(tile.word, { name: tile.name });
  return (
    <figure ref={figure} class={tile.large ? "tile large" : "tile"}>
      <Picture track={track} label={name} />
      {still && <p class="still">{say("no_picture")}</p>}
      <figcaption>{name}</figcaption>
    </figure>
  );
}
