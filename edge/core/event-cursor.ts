/**
 * Where one socket stands in the account's event log, and what a numbered event means to it.
 *
 * The cursor is the last number the socket was served (or that its filter skipped). It never falls, except when the
 * client asks for a replay. Pushes may repeat and may leave gaps; a page of the log may not: it is the truth.
 */

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
