/**
 * What files of the product that use the system's timers, time or chance get in place of it (`hooks.ts` puts an import
 * of this in front of them): those of the simulated process whose code runs.
 */
import { theWorld, thisProcess } from "../kernel/running.ts";

interface Timer {
  cancel: () => void;
  unref(): Timer;
}

export function setTimeout(act: () => void, delayMs = 0): Timer {
  return timerOf(thisProcess().clock.after(delayMs, act));
}

export function setInterval(act: () => void, everyMs: number): Timer {
  const { clock } = thisProcess();
  const again = (): void => {
    timer.cancel = clock.after(everyMs, () => {
      again();
      act();
    });
  };
  const timer = timerOf(() => undefined);
  again();
  return timer;
}

export function clearTimeout(timer: Timer | null | undefined): void {
  timer?.cancel();
}

export function clearInterval(timer: Timer | null | undefined): void {
  timer?.cancel();
}

export const performance = { now: () => thisProcess().clock.monotonicMs() };

const chancy: typeof globalThis.Math = Object.create(globalThis.Math);
Object.defineProperty(chancy, "random", { value: () => theWorld().kernel.chance.unit() });
export { chancy as Math };

function timerOf(cancel: () => void): Timer {
  const timer: Timer = { cancel, unref: () => timer };
  return timer;
}
