import { sayTime } from "../language";
import { endWord, mayComeBack, mayTryAgain, refusalWord } from "../outcomes";
import { platformOf, saysRemedy, saysWhat } from "../permission";
import { Check } from "./check";
import { Hearing } from "./hearing";
import { CopyLink, Notice } from "./notice";
import { Place } from "./place";
import { useUi } from "./ui";
import { Vouching } from "./vouching";

/** The screen that the state asks for. */
export function Body() {
  const { page, session, say, language } = useUi();
  const { refusal } = page;
  const values = { time: refusal === null || refusal.at_utc_us === 0 ? "–" : sayTime(language, refusal.at_utc_us) };
  switch (page.screen) {
    case "opening":
      return <p>{say("opening")}</p>;
    case "no_link":
      return <Notice heading="no_link" hint={say("no_link_hint")} />;
    case "insecure":
      return (
        <Notice heading="insecure" hint={say(saysWhat("insecure", "both"))}>
          <p>{say(saysRemedy("insecure", "desktop"))}</p>
        </Notice>
      );
    case "no_webrtc":
      return <Notice heading="no_webrtc" hint={say("no_webrtc_hint")}><CopyLink /></Notice>;
    case "in_app": {
      const hint = page.app === "?" ? say("in_app_unnamed") : say("in_app_named", { app: page.app });
      return (
        <Notice heading="in_app" hint={hint}>
          <p>{say(`in_app_${platformOf(navigator.userAgent, navigator.maxTouchPoints)}`)}</p>
          <CopyLink />
          <p><button onClick={() => void session.open(true)}>{say("in_app_anyway")}</button></p>
        </Notice>
      );
    }
    case "check":
      return <Check />;
    case "joining":
      return <Notice heading="joining" />;
    case "refused":
      return (
        <Notice heading="not_joined" hint={say(refusalWord(refusal?.code ?? ""), values)}>
          {mayTryAgain(refusal?.code ?? "") && (
            <p><button class="main" onClick={() => void session.join()}>{say("try_again")}</button></p>
          )}
        </Notice>
      );
    case "left":
      return (
        <Notice heading="left" hint={say("left_hint")}>
          <p><button class="main" onClick={() => void session.comeBack()}>{say("come_back")}</button></p>
        </Notice>
      );
    case "ended": {
      const code = refusal?.code ?? "";
      const again = mayComeBack(code);
      return (
        <Notice heading="ended" hint={say(endWord(code), values)}>
          {again && <p><button class="main" onClick={() => void session.comeBack()}>{say("try_again")}</button></p>}
        </Notice>
      );
    }
    case "in":
      if (page.doubt !== null) return <Vouching />;
      if (page.waits) return <Notice heading="waits" hint={say("waits_hint")} />;
      if (page.view === null) return <Notice heading="connecting" />;
      return page.view.place === "hearing" || page.view.consultation ? <Hearing view={page.view} /> : <Place view={page.view} />;
  }
}
