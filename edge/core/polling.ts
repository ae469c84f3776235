/** What a client that reads a video again and again is told: how long to wait, and what it may skip. */
import type { Eta } from "#protocol/video.ts";

export const WAIT_SECONDS_MAX = 30;
const POLL_MS_MIN = 1_000;
const POLL_MS_MAX = 15_000;
/** Of the time that is left: ten looks until the end, however long it takes. */
const LOOKS = 10;

/** `wait=n` of a `Prefer` header (RFC 7240), at most what we grant; null if none is asked for. */
export function waitOf(prefer: string | undefined): number | null {
  for (const preference of (prefer ?? "").split(",")) {
    const seconds = /^\s*wait\s*=\s*"?(\d{1,9})"?\s*(;.*)?$/i.exec(preference)?.[1];
    if (seconds !== undefined) return Math.min(WAIT_SECONDS_MAX, Number(seconds));
  }
  return null;
}

export function pollAfterMs(eta: Eta | null): number {
  if (eta === null) return POLL_MS_MIN;
  return Math.min(POLL_MS_MAX, Math.max(POLL_MS_MIN, Math.round((eta.finish_p50 * 1_000) / LOOKS)));
}

/** `If-None-Match` compares weakly (RFC 9110): a proxy may have weakened what we gave. */
export function isMatch(ifNoneMatch: string | undefined, etag: string): boolean {
  if (ifNoneMatch === undefined) return false;
  return ifNoneMatch.split(",").some((given) => given.trim() === "*" || given.trim().replace(/^W\//, "") === etag);
}
