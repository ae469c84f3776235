/** What is due when: a binary min-heap by time; of equal times, what was added first. */
interface Entry<Item> {
  readonly atMs: number;
  readonly turn: number;
  readonly item: Item;
}

export class TimeHeap<Item> {
  readonly #entries: Entry<Item>[] = [];
  #turns = 0;

  peekMs(): number | null {
    return this.#entries[0]?.atMs ?? null;
  }

  push(atMs: number, item: Item): void {
    const entry = { atMs, turn: this.#turns++, item };
    let at = this.#entries.length;
    this.#entries.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#entries[parent];
      if (above === undefined || !isBefore(entry, above)) break;
      this.#entries[at] = above;
      at = parent;
    }
    this.#entries[at] = entry;
  }

  pop(): Item | null {
    const [first] = this.#entries;
    const last = this.#entries.pop();
    if (first === undefined || last === undefined) return null;
    if (this.#entries.length > 0) this.#sink(last);
    return first.item;
  }

  #sink(entry: Entry<Item>): void {
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const [a, b] = [this.#entries[left], this.#entries[left + 1]];
      const least = b !== undefined && a !== undefined && isBefore(b, a) ? left + 1 : left;
      const below = this.#entries[least];
      if (below === undefined || !isBefore(below, entry)) break;
      this.#entries[at] = below;
      at = least;
    }
    this.#entries[at] = entry;
  }
}

function isBefore<Item>(a: Entry<Item>, b: Entry<Item>): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.turn < b.turn);
}
