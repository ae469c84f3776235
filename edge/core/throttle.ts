/**
 * Sheds at the edge what the control plane would shed anyway: of the calls of a lane, at most about twice as many are sent as
 * were lately taken. It never stops asking, so it ends by itself as soon as calls are taken again.
 *
 * (The client-side throttling of Google's SRE book, chapter 21.) A call that was taken is one that was not shed; what it was
 * answered, a refusal for instance, says nothing about load.
 */

/** Two windows of this length are looked at: the present one and the last. */
const WINDOW_MS = 2_500;
/** Sent per call that is taken. Below it nothing is shed here. */
const SENT_PER_TAKEN = 2;

interface Window {
  readonly asked: number;
  readonly taken: number;
}

export interface Throttle {
  readonly fromMs: number;
  readonly now: Window;
  readonly last: Window;
}

const NOTHING: Window = { asked: 0, taken: 0 };
export const UNTHROTTLED: Throttle = { fromMs: 0, now: NOTHING, last: NOTHING };

/** `chance` is in [0, 1), anew for each call. */
export function sheds(throttle: Throttle, nowMs: number, chance: number): boolean {
  const { now, last } = turned(throttle, nowMs);
  const [asked, taken] = [now.asked + last.asked, now.taken + last.taken];
  return chance < (asked - SENT_PER_TAKEN * taken) / (asked + 1);
}

/** A call ended, or was shed here. */
export function counted(throttle: Throttle, taken: boolean, nowMs: number): Throttle {
  const { fromMs, now, last } = turned(throttle, nowMs);
  return { fromMs, now: { asked: now.asked + 1, taken: now.taken + (taken ? 1 : 0) }, last };
}

function turned(throttle: Throttle, nowMs: number): Throttle {
  const windows = Math.floor((nowMs - throttle.fromMs) / WINDOW_MS);
  if (windows === 0) return throttle;
  return { fromMs: nowMs, now: NOTHING, last: windows === 1 ? throttle.now : NOTHING };
}
