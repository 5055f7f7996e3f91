import { inGroups } from "../vouching";
import { Notice } from "./notice";
import { useUi } from "./ui";

/** Before media goes in a hearing that is not public: what the person reads to the clerk, or signs. */
export function Vouching() {
  const { page, session, say, language } = useUi();
  const { doubt } = page;
  if (doubt === null) return null;
  return (
    <Notice heading="vouch" hint={say("vouch_hint")}>
      <p>{say("vouch_code")}</p>
      <p class="code">{inGroups(doubt.code)}</p>
      <p>{say("vouch_phone")}</p>
      {doubt.sign && (
        <>
          <p><button class="main" disabled={doubt.signing} onClick={() => void session.sign(language)}>{say("vouch_sign")}</button></p>
          <p>{say(doubt.signing ? "vouch_signing" : "vouch_sign_hint")}</p>
        </>
      )}
    </Notice>
  );
}
