/**
 * When a client whose live session ended opens the next one. The clients of an edge that restarts all lose theirs in the same
 * moment and know nothing of each other, so each waits a random part of a window: however many they are, no second sees more than
 * a tenth of them, also if the edge stays away.
 *
 * The window is told by who knows how many there are (`hello`, or the reason of a close); without a word it is the one that
 * is safe for any number.
 */

/** Fifteen seconds: a fifteenth of them a second, so that chance does not bring it to a tenth. */
export const RECONNECT_WITHIN_MS = 15_000;
const WITHIN_MS_MIN = 1_000;
const WITHIN_MS_MAX = 60_000;
/** What an edge is to be asked for after it restarted, beside its other work. */
const RECONNECTS_PER_SECOND = 500;
const DOUBLINGS_MAX = 6;
const HINT = /^reconnect within (\d{1,6}) ms$/;

export type Ended =
  | { readonly t: "closed"; readonly code: number; readonly reason: string }
  /** The handshake was answered, but not with a socket. */
  | { readonly t: "refused"; readonly status: number; readonly retryAfterMs: number | null };

/** For whoever knows how many sessions are open: the window that brings them back at a rate that the edge takes. */
export function reconnectWithinMs(sessions: number): number {
  return Math.min(WITHIN_MS_MAX, Math.max(WITHIN_MS_MIN, Math.ceil((sessions / RECONNECTS_PER_SECOND) * 1_000)));
}

/** The reason of a close by which an edge sends its clients away for a moment. */
export function reconnectReason(withinMs: number): string {
  return `reconnect within ${withinMs} ms`;
}

/**
 * Milliseconds to wait; null: another try would end the same way. `failures` tries in a row have failed since the last session,
 * `random` is in [0, 1). The first try comes within the window, each later one in a window of twice the length that begins when
 * the last one is over: they never pile up on the first tries of others.
 */
export function reconnectAfterMs(ended: Ended, withinMs: number, failures: number, random: number): number | null {
  if (isFinal(ended)) return null;
  const told = ended.t === "closed" ? HINT.exec(ended.reason)?.[1] : undefined;
  const windowMs = Math.min(WITHIN_MS_MAX, told === undefined ? withinMs : Math.max(WITHIN_MS_MIN, Number(told)));
  const isUnwelcome = ended.t === "refused" || (ended.code >= 4_100 && ended.code < 4_200);
  const turns = Math.min(DOUBLINGS_MAX, Math.max(failures, isUnwelcome ? 1 : 0));
  const endMs = Math.min(WITHIN_MS_MAX, windowMs * 2 ** turns);
  const beginMs = turns === 0 ? 0 : endMs / 2;
  const notBeforeMs = ended.t === "refused" ? (ended.retryAfterMs ?? 0) : 0;
  return notBeforeMs + Math.floor(beginMs + random * (endMs - beginMs));
}

/** 40xx, as a 4xx that is not about haste: the client itself is refused. */
function isFinal(ended: Ended): boolean {
  if (ended.t === "closed") return ended.code >= 4_000 && ended.code < 4_100;
  return ended.status >= 400 && ended.status < 500 && ended.status !== 429 && ended.status !== 408;
}
