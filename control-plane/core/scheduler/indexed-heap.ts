/**
 * A binary min-heap whose members can be re-keyed and removed by id, in O(log n).
 *
 * Order is (key, id): equal keys are broken by id, so the same members always come out in the same order.
 */
import { invariant } from "#protocol/invariant.ts";

interface Entry {
  readonly id: string;
  key: number;
}

export class IndexedHeap {
  readonly #entries: Entry[] = [];
  readonly #at = new Map<string, number>();

  get size(): number {
    return this.#entries.length;
  }

  peek(): { readonly id: string; readonly key: number } | null {
    return this.#entries[0] ?? null;
  }

  has(id: string): boolean {
    return this.#at.has(id);
  }

  /** Adds the member or moves it to its new key. */
  set(id: string, key: number): void {
    const at = this.#at.get(id);
    if (at === undefined) {
      this.#entries.push({ id, key });
      this.#at.set(id, this.#entries.length - 1);
      this.#up(this.#entries.length - 1);
      return;
    }
    const entry = this.#entry(at);
    if (entry.key === key) return;
    entry.key = key;
    this.#down(this.#up(at));
  }

  /** Removing what is not there is no error. */
  remove(id: string): void {
    const at = this.#at.get(id);
    if (at === undefined) return;
    const last = this.#entries.pop();
    this.#at.delete(id);
    if (last === undefined || last.id === id) return;
    this.#entries[at] = last;
    this.#at.set(last.id, at);
    this.#down(this.#up(at));
  }

  /** Every member, in no particular order. */
  *[Symbol.iterator](): Iterator<{ readonly id: string; readonly key: number }> {
    yield* this.#entries;
  }

  /** Members in order, lazily: the first m cost O(m log m), however many there are. Nothing may change meanwhile. */
  *ascending(): Generator<{ readonly id: string; readonly key: number }, void> {
    const frontier = new IndexedHeap();
    const reach = (at: number) => {
      const entry = this.#entries[at];
      if (entry !== undefined) frontier.set(entry.id, entry.key);
    };
    reach(0);
    for (let first = frontier.peek(); first !== null; first = frontier.peek()) {
      frontier.remove(first.id);
      yield first;
      const at = this.#at.get(first.id) ?? 0;
      reach(2 * at + 1);
      reach(2 * at + 2);
    }
  }

  #up(start: number): number {
    let at = start;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#before(at, parent)) break;
      this.#swap(at, parent);
      at = parent;
    }
    return at;
  }

  #down(start: number): void {
    let at = start;
    for (;;) {
      const left = 2 * at + 1;
      let least = at;
      if (left < this.#entries.length && this.#before(left, least)) least = left;
      if (left + 1 < this.#entries.length && this.#before(left + 1, least)) least = left + 1;
      if (least === at) return;
      this.#swap(at, least);
      at = least;
    }
  }

  #before(a: number, b: number): boolean {
    const left = this.#entry(a);
    const right = this.#entry(b);
    return left.key === right.key ? left.id < right.id : left.key < right.key;
  }

  #swap(a: number, b: number): void {
    const left = this.#entry(a);
    const right = this.#entry(b);
    this.#entries[a] = right;
    this.#entries[b] = left;
    this.#at.set(right.id, a);
    this.#at.set(left.id, b);
  }

  #entry(at: number): Entry {
    const entry = this.#entries[at];
    invariant(entry !== undefined, "the heap's index points into the heap");
    return entry;
  }
}
