/**
 * What the operator's moderation hook judges, what it may say, and how often it is asked. It fails closed: without a verdict a
 * prompt is not accepted and a result is not shown.
 */
import type { AccountId, Sha256Hex, VideoId } from "#protocol/id.ts";

/** `policy`: the version of the rules that were applied. `reason`: a short code, as `violence`. */
export type Verdict =
  | { readonly allowed: true; readonly policy: string }
  | { readonly allowed: false; readonly policy: string; readonly reason: string };

export interface PromptToJudge {
  readonly account: AccountId;
  readonly model: string;
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly reference: { readonly sha256: Sha256Hex; readonly mediaType: string } | null;
}

export interface ResultToJudge {
  readonly video: VideoId;
  readonly account: AccountId;
  readonly prompt: string;
  readonly sha256: Sha256Hex;
  readonly bytes: number;
  /** Where the MP4 can be read, for minutes. */
  readonly url: string;
}

/** Asked in vain so often about a result, the video fails: a quarter of an hour of outage is sat out. */
export const MODERATION_TRIES_MAX = 12;
const ASK_AGAIN_MS_MIN = 1_000;
const ASK_AGAIN_MS_MAX = 300_000;

/** When to ask again about a result, after so many tries in vain. */
export function askAgainMs(tries: number): number {
  return Math.min(ASK_AGAIN_MS_MAX, ASK_AGAIN_MS_MIN * 2 ** Math.max(0, tries - 1));
}
