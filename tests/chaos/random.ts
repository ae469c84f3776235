/** Draws from a seed, so that a round can be asked for again. Only the faults are drawn; when processes run is the machine's. */

export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** Another stream, so that one more draw here does not move what is drawn there. */
  fork(name: string): Random {
    let seed = this.#state ^ 0x9e37_79b9;
    for (const letter of name) seed = Math.imul(seed ^ letter.charCodeAt(0), 0x0100_0193);
    return new Random(seed);
  }

  /** From 0 to below 1. */
  unit(): number {
    this.#state = (this.#state + 0x6d2b_79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Both ends included. */
  int(min: number, max: number): number {
    return min + Math.floor(this.unit() * (max - min + 1));
  }

  chance(probability: number): boolean {
    return this.unit() < probability;
  }

  pick<Value>(values: readonly Value[]): Value {
    const value = values[Math.floor(this.unit() * values.length)];
    if (value === undefined) throw new RangeError("nothing to pick from");
    return value;
  }
}
