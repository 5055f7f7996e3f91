// The words for a code by which the courtroom refuses or ends something. Pure. An unknown code is told too, never hidden.

import type { Word } from "./words/en";

const REFUSALS: Record<string, Word> = {
  unknown: "join_unknown",
  no_hearing: "join_no_hearing",
  early: "join_early",
  expired: "join_expired",
  too_many: "join_too_many",
  full: "join_full",
  removed: "join_removed",
  not_public: "join_not_public",
  starting: "join_starting",
  unreachable: "join_unreachable",
};
const ENDS: Record<string, Word> = {
  ...REFUSALS,
  too_many: "join_other",
  hearing_over: "end_over",
  gone: "end_gone",
  elsewhere: "end_elsewhere",
  other_waits: "end_other_waits",
  bad_message: "end_browser",
  strange: "end_strange",
};
const NOTICES: Record<string, Word> = {
  not_in_hearing: "refused_not_in_hearing",
  not_there: "refused_not_in_hearing",
  other_screen: "refused_other_screen",
  no_h264: "sound_alone_browser",
  no_ncalayer: "refused_no_ncalayer",
  not_signed: "refused_not_signed",
  signature_bad: "refused_signature",
  signature_unknown: "refused_signature",
  signature_of_other: "refused_signature_of_other",
};

/** Why a link does not open, after somebody pressed "join". */
export const refusalWord = (code: string): Word => REFUSALS[code] ?? "join_other";
/** Whether pressing again may lead in: not by a link that is none, or is good no longer. */
export const mayTryAgain = (code: string): boolean => code !== "unknown" && code !== "expired";
/** Why the conference has ended for this page. */
export const endWord = (code: string): Word => ENDS[code] ?? "end_other";
/** Why something that was asked for is not done. */
export const noticeWord = (code: string): Word => NOTICES[code] ?? "refused_other";
/** Whether dialling again, by hand, may lead back: the clerk may have let the person in again. */
export const mayComeBack = (code: string): boolean =>
  ["removed", "not_public", "elsewhere", "other_waits", "full", "too_many", "gone"].includes(code);
/** Whether the courtroom does not know the way back, and the link must be used anew. */
export const isForgotten = (code: string): boolean => code === "unknown" || code === "expired";
