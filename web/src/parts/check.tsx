import { useState } from "preact/hooks";

import { Devices, TestTone } from "./devices";
import { Level } from "./level";
import { Heading } from "./notice";
import { Picture } from "./picture";
import { TroubleWords } from "./trouble";
import { useUi } from "./ui";

/** Before one joins: is one heard and seen, does one hear? Nothing leaves this page yet. */
export function Check() {
  const { page, session, say } = useUi();
  const [asking, setAsking] = useState(false);
  const { microphone, camera } = session.media;
  const open = async (wanted: { microphone: boolean; camera: boolean }): Promise<void> => {
    setAsking(true);
    await session.openDevices(wanted);
    setAsking(false);
  };
  const absent = { microphone: microphone === null, camera: camera === null && page.pictures };
  const nothing = microphone === null && camera === null;
  return (
    <section class="check">
      <Heading word="check" />
      {nothing && <p>{say("check_hint")}</p>}
      {!page.pictures && <p class="banner told">{say("sound_alone_browser")}</p>}
      {page.trouble !== null && <div class="banner trouble" role="alert"><TroubleWords /></div>}
      {(absent.microphone || absent.camera) && (
        <p class="buttons">
          <button class={nothing ? "main" : ""} disabled={asking} onClick={() => void open(absent)}>
            {say(page.trouble !== null ? "try_again" : absent.microphone ? "check_begin" : "check_camera")}
          </button>
          {page.trouble !== null && absent.microphone && (
            <button disabled={asking} onClick={() => void open({ microphone: true, camera: false })}>{say("check_microphone_only")}</button>
          )}
        </p>
      )}
      {microphone !== null && (
        <>
          <h2>{say("microphone")}</h2>
          <p>{say("speak")}</p>
          <Level track={microphone} />
        </>
      )}
      {camera !== null && (
        <>
          <h2>{say("own_picture")}</h2>
          <Picture track={camera} label={say("own_picture")} mirrored />
        </>
      )}
      {microphone !== null && camera === null && <p>{say("camera_none")}</p>}
      {!nothing && <Devices />}
      <h2>{say("speaker")}</h2>
      <TestTone />
      <p>{say("tone_hint")} {say("earphones")}</p>
      <p class="buttons">
        <button class={microphone === null ? "" : "main"} disabled={asking} onClick={() => void session.join()}>
          {say(microphone === null ? "join_silent" : "join")}
        </button>
      </p>
      {microphone === null && <p>{say("join_silent_hint")}</p>}
    </section>
  );
}
