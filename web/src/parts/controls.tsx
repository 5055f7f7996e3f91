import type { View } from "../messages";
import { canShare } from "../own_media";
import { isOnFloor } from "../page";
import { Devices } from "./devices";
import { SpokenInto } from "./spoken_into";
import { useUi } from "./ui";

/** One's own microphone, camera, hand and screen. */
export function Controls({ view }: { view: View }) {
  const { page, session, say } = useUi();
  const { microphone, camera, screen } = page.own;
  const heard = microphone === "on" || microphone === "dead";
  const floor = isOnFloor(page);
  return (
    <>
      <div class="controls" role="group" aria-label={say("own_controls")}>
        <SpokenInto />
        <button class={heard ? "on" : "off"} onClick={() => void session.toggle("microphone")}>
          {say(heard ? "microphone_on" : "microphone_off")}
        </button>
        {page.pictures && (
          <button class={camera === "on" ? "on" : "off"} onClick={() => void session.toggle("camera")}>
            {say(camera === "on" ? "camera_on" : "camera_off")}
          </button>
        )}
        {floor && (
          <button aria-pressed={view.hand} onClick={() => session.act({ act: "raise_hand", on: !view.hand })}>
            {say(view.hand ? "hand_lower" : "hand_raise")}
          </button>
        )}
        {floor && page.pictures && canShare() && !view.muted && (
          <button aria-pressed={screen !== "no"} onClick={() => void session.share()}>{say(screen === "no" ? "share" : "share_stop")}</button>
        )}
      </div>
      <Devices folded />
    </>
  );
}
