import { banners } from "../banners";
import { noticeWord } from "../outcomes";
import { TroubleWords } from "./trouble";
import { useUi } from "./ui";

/** What stands above all else. Only what was asked for and refused can be closed: all others last as long as what they tell of. */
export function Banners() {
  const { page, session, say } = useUi();
  const shown = banners(page);
  const { microphone } = page.own;
  const inHearing = page.screen === "in";
  return (
    <div class="banners">
      <div role="status" aria-live="polite">
        {/* Where the screen is small all but the first are one line, and whole for whoever goes to them or touches them (style.css). */}
        {shown.map((one, number) => (
          <p key={one.word} class={`banner ${one.kind}`} tabIndex={number === 0 ? undefined : 0}>{say(one.word, one.values)}</p>
        ))}
      </div>
      {inHearing && page.view?.consultation && (
        <p class="banner private"><button onClick={() => session.act({ act: "leave_consultation" })}>{say("leave_private_talk")}</button></p>
      )}
      {page.soundLocked && (
        <p class="banner trouble" role="alert">
          {say("start_sound_hint")} <button class="main" onClick={() => void session.sound.start()}>{say("start_sound")}</button>
        </p>
      )}
      {inHearing && microphone === "dead" && (
        <p class="banner trouble" role="alert">
          {say("microphone_dead")}{" "}
          <button class="main" onClick={() => void session.openDevices({ microphone: true, camera: false })}>{say("microphone_resume")}</button>
        </p>
      )}
      {inHearing && page.trouble !== null && (
        <div class="banner trouble" role="alert">
          <TroubleWords />
          <button onClick={() => session.dispatch({ e: "trouble", trouble: null })}>{say("close")}</button>
        </div>
      )}
      {inHearing && page.notice !== null && (
        <p class="banner told" role="alert">
          {say(noticeWord(page.notice))} <button onClick={() => session.dispatch({ e: "notice_read" })}>{say("close")}</button>
        </p>
      )}
    </div>
  );
}
