/**
 * Where one socket stands in the account's event log, and what a numbered event means to it.
 *
 * The cursor is the last number the socket was served (or that its filter skipped). It never falls, except when the
 * client asks for a replay. Pushes may repeat and may leave gaps; a page of the log may not: it is the truth.
 */

import { REPLAY_EVENTS_MAX, type ResyncReason } from "#protocol/live-session.ts";

export interface Start {
  readonly cursor: number;
  /** Why the log does not go on where the client asked; null if it does. */
  readonly resync: ResyncReason | null;
}

/** `wanted`: where the client stood, null for now; `last`: how far the log reaches. */
export function startAt(wanted: number | null, last: number): Start {
  if (wanted === null) return { cursor: last, resync: null };
  if (wanted > last) return { cursor: last, resync: "cursor_ahead" };
  return last - wanted > REPLAY_EVENTS_MAX
    ? { cursor: last, resync: "cursor_too_old" }
    : { cursor: wanted, resync: null };
}

export type Decision = "deliver" | "duplicate" | "gap";

/** A pushed event: only the very next number may go out; a gap is closed from the log first. */
export function onPush(cursor: number, sequenceNumber: number): Decision {
  if (sequenceNumber <= cursor) return "duplicate";
  return sequenceNumber === cursor + 1 ? "deliver" : "gap";
}

/**
 * An event of the page that was read after `pageAfter`. A number that is missing from the log is gone for good, so it is
 * stepped over; a socket whose cursor was behind the page (it joined while the page was read) must not take part.
 */
export function onPage(cursor: number, pageAfter: number, sequenceNumber: number): Decision {
  if (cursor < pageAfter) return "gap";
  return sequenceNumber > cursor ? "deliver" : "duplicate";
}

/** Where the next page starts, and null when nobody lags behind `known`. */
export function nextPageAfter(cursors: readonly number[], known: number): number | null {
  const lowest = cursors.reduce((low, cursor) => Math.min(low, cursor), Infinity);
  return lowest < known ? lowest : null;
}
