import { platformOf, saysRemedy, saysWhat } from "../permission";
import { useUi } from "./ui";

/** What hinders a device, and what helps. */
export function TroubleWords() {
  const { page, say } = useUi();
  if (page.trouble === null) return null;
  const { what, device } = page.trouble;
  const platform = platformOf(navigator.userAgent, navigator.maxTouchPoints);
  return (
    <>
      <p><strong>{say(saysWhat(what, device))}</strong></p>
      <p>{say(saysRemedy(what, platform))}</p>
    </>
  );
}
