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

  /** The first `limit` members in order; for limits of tens. */
  least(limit: number): readonly { readonly id: string; readonly key: number }[] {
    const found: Entry[] = [];
    const front = this.#entries.length === 0 ? [] : [0];
    while (found.length < limit && front.length > 0) {
      const at = front.reduce((best, other) => (this.#before(other, best) ? other : best));
      front.splice(front.indexOf(at), 1);
      found.push(this.#entry(at));
      for (const child of [2 * at + 1, 2 * at + 2]) if (child < this.#entries.length) front.push(child);
    }
    return found;
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
