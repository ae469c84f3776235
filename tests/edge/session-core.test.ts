import { describe, expect, test } from "vitest";
import { startAt } from "#edge/core/event-cursor.ts";
import { afterSend, NOTHING_SENT, type Outflow, UNREAD_BYTES_MAX } from "#edge/core/outflow.ts";
import { isMatch, pollAfterMs, waitOf } from "#edge/core/polling.ts";
import { cursorOf, sseOf } from "#edge/core/server-sent-event.ts";
import { accountOfTicket, REPLAY_EVENTS_MAX, ticketOf } from "#protocol/live-session.ts";
import { AccountId } from "#protocol/id.ts";
import { reconnectAfterMs } from "#protocol/reconnect.ts";
import { event, progress } from "./sample.ts";

test.each([
  [null, 9, { cursor: 9, resync: null }],
  [4, 9, { cursor: 4, resync: null }],
  [9, 9, { cursor: 9, resync: null }],
  [10, 9, { cursor: 9, resync: "cursor_ahead" }],
  [0, REPLAY_EVENTS_MAX, { cursor: 0, resync: null }],
  [0, REPLAY_EVENTS_MAX + 1, { cursor: REPLAY_EVENTS_MAX + 1, resync: "cursor_too_old" }],
])("a client that stood at %s of a log of %s begins there, or is told why not", (wanted, last, start) => {
  expect(startAt(wanted, last)).toEqual(start);
});

describe("what a socket was sent", () => {
  /** Sends frames of a quarter of the bound, each after the ping of its time; null once it is cut. */
  const sent = (...pings: readonly (number | null)[]) =>
    pings.reduce<Outflow | null>(
      (outflow, ping) => outflow && afterSend(outflow, UNREAD_BYTES_MAX / 4, ping),
      NOTHING_SENT,
    );

  test("is never more than the bound for a client that does not ping", () => {
    expect(sent(null, null, null, null)).not.toBeNull();
    expect(sent(null, null, null, null, null)).toBeNull();
  });

  test("is not proven read by one ping, which may have come before any of it was read", () => {
    expect(sent(null, null, 1, 1, 1)).toBeNull();
  });

  test("is proven read up to the ping before the last: that one's answer has left", () => {
    expect(sent(null, null, 1, 2, 2)).not.toBeNull();
    expect(sent(...Array.from({ length: 100 }, (_, n) => n))).not.toBeNull();
    expect(sent(1, 2, 2, 2, 2, 2)).toBeNull();
  });
});

test("an event stream's numbers are those to come back with", () => {
  const frame = event(7);
  expect(sseOf(frame, JSON.stringify(frame), null)).toBe(
    `id: 7\nevent: video.queued\ndata: ${JSON.stringify(frame)}\n\n`,
  );
  expect(sseOf(progress(5), "{}", null)).toBe("event: video.progress\ndata: {}\n\n");
  const hello = { type: "hello", session_id: "s", last_sequence_number: 9, replay_window: 1 } as const;
  expect([cursorOf(hello, null), cursorOf(hello, 4), cursorOf(hello, 12)]).toEqual([9, 4, 9]);
  expect(cursorOf({ type: "resync", from: 3, reason: "cursor_ahead" }, 12)).toBe(3);
  expect(cursorOf({ type: "caught_up", sequence_number: 8 }, 4)).toBe(8);
});

test.each([
  ["wait=10", 10],
  ["respond-async, wait=5", 5],
  ['WAIT="7"; foo', 7],
  ["wait=500", 30],
  ["wait=0", 0],
  ["wait=-1", null],
  ["wait=soon", null],
  ["await=5", null],
  ["", null],
])("'Prefer: %s' asks for a wait of %s", (prefer, seconds) => {
  expect(waitOf(prefer)).toBe(seconds);
});

test("who polls is told a tenth of what is left, between one second and fifteen", () => {
  const eta = (finish_p50: number) => ({ start_p50: 0, start_p90: 0, finish_p50, finish_p90: finish_p50 });
  expect([null, eta(0), eta(9), eta(42), eta(149), eta(3_600)].map(pollAfterMs)).toEqual([
    1_000, 1_000, 1_000, 4_200, 14_900, 15_000,
  ]);
});

test("a tag matches as it was given, weakened, or among others", () => {
  const tags = [undefined, '"b"', '"a"', 'W/"a"', '"b", "a"', "*"];
  expect(tags.map((given) => isMatch(given, '"a"'))).toEqual([false, false, true, true, true, true]);
});

test("a close code says whether to come back, and whether to let others first", () => {
  const codes = [4001, 4003, 4009, 4100, 4101, 4200, 4201, 1006, 1001, 1012];
  const waits = codes.map((code) => reconnectAfterMs({ t: "closed", code, reason: "" }, 1_000, 0, 0));
  expect(waits).toEqual([null, null, null, 1_000, 1_000, 0, 0, 0, 0, 0]);
});

test("a ticket names its account, and nothing else is a ticket", () => {
  const account = AccountId.parse("acct_0123456789abcdef");
  const ticket = ticketOf(account, "0".repeat(32));
  expect(accountOfTicket(ticket)).toBe(account);
  expect([ticket.slice(1), `${ticket}0`, "", "cs_dev_x"].map(accountOfTicket)).toEqual([null, null, null, null]);
});
