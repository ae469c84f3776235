/** A seeded stream of chance. Each part of the simulation forks one of its own, so that one more draw here changes nothing there. */
export class Chance {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  constructor(seed: number) {
    this.#a = seed | 0;
    this.#b = Math.imul(seed, 0x9e3779b1) | 0;
    this.#c = 0x2545f491;
    this.#d = 1;
    for (let warmUp = 0; warmUp < 12; warmUp++) this.#next();
  }

  fork(name: string): Chance {
    let seed = this.#next();
    for (let at = 0; at < name.length; at++) seed = Math.imul(seed ^ name.charCodeAt(at), 0x01000193);
    return new Chance(seed);
  }

  /** In [0, 1). */
  unit(): number {
    return (this.#next() >>> 0) / 2 ** 32;
  }

  between(min: number, max: number): number {
    return min + (max - min) * this.unit();
  }

  /** Both ends included. */
  whole(min: number, max: number): number {
    return min + Math.floor(this.unit() * (max - min + 1));
  }

  happens(share: number): boolean {
    return this.unit() < share;
  }

  /** Mostly near `typical`, seldom many times as long: how latencies are. */
  latency(typical: number): number {
    const draw = this.unit();
    return draw < 0.95 ? typical * (0.5 + draw) : typical * (2 + 200 * (draw - 0.95));
  }

  pick<T>(values: readonly T[]): T {
    const value = values[this.whole(0, values.length - 1)];
    if (value === undefined) throw new Error("there is nothing to pick from");
    return value;
  }

  hex(digits: number): string {
    let text = "";
    while (text.length < digits) text += (this.#next() >>> 0).toString(16).padStart(8, "0");
    return text.slice(0, digits);
  }

  /** sfc32. */
  #next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = ((this.#c << 21) | (this.#c >>> 11)) + sum;
    this.#c |= 0;
    return sum;
  }
}
