/** While a seed runs, the machine's time and chance throw: what used them would make two runs of a seed differ. */
const real = { Date, random: Math.random, setTimeout, setInterval, setImmediate, now: performance.now };

class SimulatedDate extends real.Date {
  constructor(...values: readonly unknown[]) {
    if (values.length === 0) forbidden("new Date()");
    super(...(values as [number]));
  }

  static override now(): number {
    return forbidden("Date.now");
  }
}

function forbidden(what: string): never {
  throw new Error(`${what} was used inside a simulation`);
}

/** Answers a function that gives them back. */
export function forbidRealTime(): () => void {
  globalThis.Date = SimulatedDate as DateConstructor;
  Math.random = () => forbidden("Math.random");
  performance.now = () => forbidden("performance.now");
  for (const name of ["setTimeout", "setInterval", "setImmediate"] as const) {
    Object.defineProperty(globalThis, name, { value: () => forbidden(name), configurable: true, writable: true });
  }
  return () => {
    globalThis.Date = real.Date;
    Math.random = real.random;
    performance.now = real.now;
    const { setTimeout, setInterval, setImmediate } = real;
    Object.assign(globalThis, { setTimeout, setInterval, setImmediate });
  };
}
