import { platformOf, saysRemedy, saysWhat } from "../permission";
import { inApp } from "../webview";
import { useUi } from "./ui";

/** What hinders a device, and what helps. */
export function TroubleWords() {
  const { page, say } = useUi();
  if (page.trouble === null) return null;
  const { what, device } = page.trouble;
  const platform = platformOf(navigator.userAgent, navigator.maxTouchPoints);
  const isInApp = inApp(navigator.userAgent, "TelegramWebviewProxy" in window) !== "";
  return (
    <>
      <p><strong>{say(saysWhat(what, device))}</strong></p>
      <p>{say(saysRemedy(what, platform, isInApp))}</p>
    </>
  );
}
