// Messengers open links in a browser of their own that gives no camera, or loses it: the page must be opened elsewhere. Pure.

const NAMED: readonly [string, RegExp][] = [
  ["Telegram", /Telegram/i],
  ["WhatsApp", /WhatsApp/i],
  ["Instagram", /Instagram/i],
  ["Facebook", /FBAN|FBAV|FB_IAB|FBIOS/],
  ["VK", /\bVK(Client|AndroidApp|iOSApp)|vk_android|com\.vk\./i],
  ["TikTok", /musical_ly|BytedanceWebview|TikTok/i],
  ["Viber", /\bViber\b/i],
  ["WeChat", /MicroMessenger/i],
  ["Line", /\bLine\//],
];

/** The app inside which the page is; "?" where it is one without a name, "" where it is a browser. */
export function inApp(userAgent: string, telegramProxy: boolean): string {
  if (telegramProxy) return "Telegram";
  const named = NAMED.find(([, pattern]) => pattern.test(userAgent));
  if (named !== undefined) return named[0];
  // Android marks its embedded browser. That of iOS lacks the word that every browser of iOS bears.
  const android = /Android/.test(userAgent) && /; wv\)/.test(userAgent);
  const ios = /iPhone|iPad|iPod/.test(userAgent) && /AppleWebKit/.test(userAgent) && !/Safari\//.test(userAgent);
  return android || ios ? "?" : "";
}
