/**
 * The machine's clock and timers. After a pause of the process all timers are due at once, before anything that came meanwhile
 * was read; so a timer lets the sockets be read first, and an answer that is there counts as in time.
 */
import type { Clock } from "./core/clock.ts";

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  after(delayMs, act) {
    let read: NodeJS.Immediate | undefined;
    const timer = setTimeout(() => (read = setImmediate(act)), delayMs);
    return () => {
      clearTimeout(timer);
      clearImmediate(read);
    };
  },
};
