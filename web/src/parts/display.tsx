import { useRef } from "preact/hooks";

import type { DisplayPage, DisplayTile } from "../display_page";
import { displayBanners, displayOthers, displayTiles, lamp } from "../display_page";
import { inAll } from "../language";
import type { Other } from "../messages";
import type { Word } from "../words/en";
import { Picture } from "./picture";
import { useStill } from "./still";

/** What the public in the courtroom sees: nothing can be pressed, nothing chosen, and everything is said in all languages. */
export function Display({ page, pictures }: { page: DisplayPage; pictures: MediaStreamTrack[] }) {
  const title = page.screen?.title ?? "";
  const tiles = displayTiles(page).flatMap((tile) => {
    const track = pictures[tile.line];
    return track === undefined ? [] : [{ tile, track }];
  });
  const large = tiles.some(({ tile }) => tile.large);
  const others = displayOthers(page);
  return (
    <>
      <header>
        <h1>{title === "" ? <Said word="title" /> : title}</h1>
        <Lamp state={lamp(page)} />
      </header>
      <div role="status">
        {displayBanners(page).map((one) => (
          <p key={one.word} class={`banner ${one.kind}`}><Said word={one.word} values={one.values} /></p>
        ))}
      </div>
      <main class={large ? "tiles shared" : `tiles of${tiles.length}`}>
        {tiles.map(({ tile, track }) => <Tile key={track.id} tile={tile} track={track} />)}
      </main>
      {others.length > 0 && (
        <footer>
          <ul>{others.map((one) => <li key={one.person}><Name of={one} /></li>)}</ul>
        </footer>
      )}
    </>
  );
}

function Lamp({ state }: { state: ReturnType<typeof lamp> }) {
  if (state === "unknown") return null;
  return (
    <p class={`lamp ${state}`}>
      <span class="light" aria-hidden="true" />
      <Said word={state === "on" ? "display_recorded" : "display_not_recorded"} />
    </p>
  );
}

function Tile({ tile, track }: { tile: DisplayTile; track: MediaStreamTrack }) {
  const figure = useRef<HTMLElement>(null);
  const still = useStill(figure, track, tile.shown);
  const { person, large } = tile;
  return (
    <figure ref={figure} class={large ? "tile large" : "tile"}>
      <Picture track={track} label={tile.shown === "room" ? allOf("room") : person.name} />
      {still && <p class="still"><Said word="no_picture" /></p>}
      <figcaption><Caption tile={tile} /></figcaption>
    </figure>
  );
}

function Caption({ tile: { shown, person, large } }: { tile: DisplayTile }) {
  if (shown === "room") return <Said word="room" />;
  return large ? <Said word="screen_of" values={{ name: person.name }} /> : <Name of={person} />;
}

/** A person's name, and the role in every language. */
function Name({ of: { name, role, muted, hand } }: { of: Other }) {
  return (
    <>
      <strong>{name}</strong>{" "}
      <span class="role"><Said word={`role_${role}`} /></span>
      {hand && <span aria-label={allOf("has_hand")}> ✋</span>}
      {muted && <span aria-label={allOf("is_muted")}> 🔇</span>}
    </>
  );
}

/** A word in every language, each marked as what it is. */
function Said({ word, values }: { word: Word; values?: Record<string, string> | undefined }) {
  return <>{inAll(word, values).map(({ language, text }) => <span key={language} class="said" lang={language}>{text}</span>)}</>;
}

const allOf = (word: Word): string => inAll(word).map(({ text }) => text).join(" · ");
