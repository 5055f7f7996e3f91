import { useRef } from "preact/hooks";

import type { View } from "../messages";
import { Picture } from "./picture";
import { useStill } from "./still";
import { useUi } from "./ui";

/** The pictures of the room and of others, as the courtroom has put them on the lines. */
export function Tiles({ view }: { view: View }) {
  const { page, session, say } = useUi();
  const names = new Map(view.others.map((one) => [one.person, `${one.name}, ${say(`role_${one.role}`)}`]));
  const nameOf = (shown: string): string => {
    if (shown === "room") return say("room");
    if (shown === "screen") return say("screen_of", { name: view.others.find((one) => one.person === view.sharing)?.name ?? "" });
    return names.get(shown) ?? "";
  };
  const tiles = page.tiles.flatMap((shown, number) => {
    const track = session.pictures[number];
    return shown === "" || track === undefined ? [] : [{ shown, track }];
  });
  const large = tiles.find((one) => one.shown === "screen")?.shown ?? tiles.find((one) => one.shown === "room")?.shown;
  const own = session.media.camera;
  return (
    <div class="tiles">
      {tiles.map(({ shown, track }) => (
        <Tile key={track.id} name={nameOf(shown)} large={shown === large} shown={shown} track={track} />
      ))}
      {own !== null && page.own.camera === "on" && (
        <figure class="tile own">
          <Picture track={own} label={say("own_picture")} mirrored />
          <figcaption>{say("you")}</figcaption>
        </figure>
      )}
    </div>
  );
}

function Tile({ name, large, shown, track }: { name: string; large: boolean; shown: string; track: MediaStreamTrack }) {
  const { say } = useUi();
  const figure = useRef<HTMLElement>(null);
  const still = useStill(figure, track, shown);
  return (
    <figure ref={figure} class={large ? "tile large" : "tile"}>
      <Picture track={track} label={name} />
      {still && <p class="still">{say("no_picture")}</p>}
      <figcaption>{name}</figcaption>
    </figure>
  );
}
