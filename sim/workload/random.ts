/**
 * A stream of random numbers: splitmix, 32 bits. Streams of different names are independent, so one more draw for the
 * arrivals changes nobody's weights.
 */
export class RandomStream {
  #state: number;

  constructor(seed: number, name: string) {
    let state = seed | 0;
    for (let at = 0; at < name.length; at++) state = mix(state ^ name.charCodeAt(at));
    this.#state = state;
  }

  /** In [0, 1). */
  uniform(): number {
    this.#state = (this.#state + 0x9e3779b9) | 0;
    return mix(this.#state) / 2 ** 32;
  }

  /** In [0, below). */
  integer(below: number): number {
    return Math.floor(this.uniform() * below);
  }

  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    return radius * Math.cos(2 * Math.PI * this.uniform());
  }

  /** One of the choices, each as likely as its weight. */
  pick<T>(choices: readonly (readonly [choice: T, weight: number])[]): T {
    let left = this.uniform() * choices.reduce((sum, [, weight]) => sum + weight, 0);
    for (const [choice, weight] of choices) {
      left -= weight;
      if (left < 0) return choice;
    }
    const last = choices.at(-1);
    if (last === undefined) throw new Error("there is nothing to pick from");
    return last[0];
  }

  shuffled<T>(items: readonly T[]): readonly T[] {
    const drawn = items.map((item) => ({ item, key: this.uniform() }));
    return drawn.toSorted((a, b) => a.key - b.key).map(({ item }) => item);
  }
}

function mix(input: number): number {
  let word = input | 0;
  word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
  word = Math.imul(word ^ (word >>> 15), 0x735a2d97);
  return (word ^ (word >>> 15)) >>> 0;
}
