/** A binary heap of values by (key, order of insertion): equal keys come out in the order they went in. */
interface Entry<T> {
  readonly key: number;
  readonly sequence: number;
  readonly value: T;
}

export class MinHeap<T> {
  readonly #entries: Entry<T>[] = [];
  #sequence = 0;

  get size(): number {
    return this.#entries.length;
  }

  peek(): { readonly key: number; readonly value: T } | null {
    return this.#entries[0] ?? null;
  }

  push(key: number, value: T): void {
    const entry = { key, sequence: this.#sequence++, value };
    let at = this.#entries.length;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = this.#entries[parent];
      if (above === undefined || before(above, entry)) break;
      this.#entries[at] = above;
      at = parent;
    }
    this.#entries[at] = entry;
  }

  pop(): T | null {
    const first = this.#entries[0];
    const last = this.#entries.pop();
    if (first === undefined || last === undefined) return null;
    if (this.#entries.length > 0) this.#sink(last);
    return first.value;
  }

  #sink(entry: Entry<T>): void {
    let at = 0;
    for (;;) {
      const left = this.#entries[2 * at + 1];
      const right = this.#entries[2 * at + 2];
      if (left === undefined) break;
      const child = right !== undefined && before(right, left) ? right : left;
      if (before(entry, child)) break;
      this.#entries[at] = child;
      at = child === left ? 2 * at + 1 : 2 * at + 2;
    }
    this.#entries[at] = entry;
  }
}

function before<T>(a: Entry<T>, b: Entry<T>): boolean {
  return a.key < b.key || (a.key === b.key && a.sequence < b.sequence);
}
