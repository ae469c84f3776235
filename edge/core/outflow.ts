/**
 * How much of what a socket was sent may still lie unread in our memory.
 *
 * The runtime tells nothing about a socket's queue (it has no `bufferedAmount`). But it answers a client's `ping` in the
 * order of everything else and reads the next `ping` only when that answer is on its way: when a ping is seen, all that
 * was sent before the ping before it has left. So two numbers say it: bytes sent before the last ping seen, which the next
 * one proves read, and bytes sent since. A client that does not read cannot ping us into believing otherwise.
 */

/** Two beats of a busy account, and the longest replay, fit twice. */
export const UNREAD_BYTES_MAX = 4 * 1024 * 1024;

export interface Outflow {
  readonly sentBeforePing: number;
  readonly sentSincePing: number;
  /** When the last ping that was noticed came; null before the first. */
  readonly pingAtMs: number | null;
}

export const NOTHING_SENT: Outflow = { sentBeforePing: 0, sentSincePing: 0, pingAtMs: null };

/** The outflow with one more frame, or null if the socket must be cut. Call it before each send, with the last ping's time. */
export function afterSend(outflow: Outflow, bytes: number, pingAtMs: number | null): Outflow | null {
  const seen = pingAtMs === outflow.pingAtMs ? outflow : afterPing(outflow, pingAtMs);
  const sentSincePing = seen.sentSincePing + bytes;
  return seen.sentBeforePing + sentSincePing > UNREAD_BYTES_MAX ? null : { ...seen, sentSincePing };
}

function afterPing(outflow: Outflow, pingAtMs: number | null): Outflow {
  return { sentBeforePing: outflow.sentSincePing, sentSincePing: 0, pingAtMs };
}
