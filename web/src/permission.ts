// What hinders a microphone or a camera, and the words that help. Pure.

import type { Word } from "./words/en";

export type Device = "microphone" | "camera" | "both" | "screen";
export type Platform = "ios" | "android" | "desktop";
export type Trouble = "denied" | "denied_by_system" | "missing" | "busy" | "unsuitable" | "unsupported" | "insecure" | "other";

/** What an error of getUserMedia or getDisplayMedia means. Old browsers have names of their own for some. */
export function troubleOf(error: { name?: string; message?: string }, secure: boolean): Trouble {
  if (!secure) return "insecure";
  switch (error.name) {
    case "NotAllowedError":
    case "PermissionDeniedError":
    case "SecurityError":
      // Chromium says "Permission denied by system" where it is allowed in the browser, and not in Windows, macOS or Android.
      return /system/i.test(error.message ?? "") ? "denied_by_system" : "denied";
    case "NotFoundError":
    case "DevicesNotFoundError":
      return "missing";
    case "NotReadableError":
    case "TrackStartError":
    case "AbortError":
      return "busy";
    case "OverconstrainedError":
    case "ConstraintNotSatisfiedError":
      return "unsuitable";
    case "NotSupportedError":
      return "unsupported"; // own_media.ts says so where the browser has no devices for pages at all
    default:
      return "other";
  }
}

/** What the trouble is, in words. */
export function saysWhat(trouble: Trouble, device: Device): Word {
  if (trouble === "insecure" || trouble === "unsupported") return `trouble_${trouble}`;
  return `trouble_${trouble}_${device}`;
}

/** What helps, in words. `inApp`: the page is in an app's own browser. */
export function saysRemedy(trouble: Trouble, platform: Platform, inApp = false): Word {
  switch (trouble) {
    case "unsupported":
      return inApp ? `in_app_${platform}` : "no_webrtc_hint";
    case "denied":
    case "denied_by_system":
      return `remedy_${trouble}_${platform}`;
    default:
      return `remedy_${trouble}`;
  }
}

/** Whether asking again, for each device by itself, may give at least one of them. */
export function worthTryingApart(trouble: Trouble): boolean {
  return trouble !== "insecure" && trouble !== "unsupported"; // browsers say "denied" also where only one of the two is
}

/** Where the page runs: remedies lie elsewhere on each. An iPad says that it is a Mac, but has a touch screen. */
export function platformOf(userAgent: string, touchPoints: number): Platform {
  if (/iPhone|iPad|iPod/.test(userAgent) || (/Macintosh/.test(userAgent) && touchPoints > 1)) return "ios";
  return /Android/.test(userAgent) ? "android" : "desktop";
}
