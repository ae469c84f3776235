/**
 * Every recorded call in the order in which it counts, and the purse at any second of it.
 *
 * A call that arrives late changes the past: everything after it is replayed. An answer that was given stands: `record`
 * refuses a call if it, or an accepted hold or use after it, would not be covered by the replay. Copies of the purse along
 * the way (marks) keep a replay short; they save time and never change an answer.
 */
import { invariant } from "#protocol/invariant.ts";
import { Books } from "./books.ts";
import { callOrder, countWhile } from "./call.ts";
import type { Call } from "./call.ts";
import type { CreditPolicy } from "./policy.ts";
import { Purse } from "./purse.ts";

/** The last second that a date can name. */
export const LAST_SECOND = 8_640_000_000_000;
const CALLS_MAX = 1_000_000;
/** Calls from one mark to the next, unless a copy costs more than replaying them. */
const MARK_EVERY_CALLS = 64;

/** The purse after the first `count` calls. */
interface Mark {
  readonly count: number;
  readonly purse: Purse;
}

export class Timeline {
  readonly #policy: CreditPolicy;
  readonly #calls: Call[] = [];
  /** By count; the first is at 0. */
  readonly #marks: Mark[];
  /** The purse after all calls, perhaps at a later second; null until somebody needs it again. */
  #tip: Purse | null = null;
  /** The second of the last call that a late one could uncover. */
  #promisedUntil = -Infinity;

  constructor(policy: CreditPolicy) {
    this.#policy = policy;
    this.#marks = [{ count: 0, purse: new Purse(policy) }];
  }

  record(call: Call): boolean {
    if (this.#calls.length >= CALLS_MAX) throw new RangeError(`An account keeps at most ${CALLS_MAX} calls.`);
    const place = countWhile(this.#calls, (other) => callOrder(other, call) <= 0);
    const isPromise = call.t === "hold" || (call.t === "use" && this.#policy.overdraw === "reject");
    if (place < this.#calls.length && !isPromise && call.at > this.#promisedUntil) {
      this.#insert(call, place, []);
      this.#tip = null;
      return true;
    }
    const purse = this.#tipBefore(call, place) ?? this.#after(place);
    const marks: Mark[] = [];
    if (!purse.apply(call)) return false;
    this.#mark(marks, place, place + 1, purse);
    for (const [passed, later] of this.#calls.slice(place).entries()) {
      if (!purse.apply(later)) return false;
      this.#mark(marks, place, place + passed + 2, purse);
    }
    this.#insert(call, place, marks);
    this.#tip = purse;
    if (isPromise) this.#promisedUntil = Math.max(this.#promisedUntil, call.at);
    return true;
  }

  /** A purse of the caller's own at this second, after its calls. */
  at(second: number): Purse {
    const count = this.#countUntil(second);
    if (count === this.#calls.length) this.#tip ??= this.#after(count);
    const isTip = this.#tip !== null && count === this.#calls.length && this.#tip.now <= second;
    const purse = isTip && this.#tip !== null ? this.#tip.copy() : this.#after(count);
    purse.advance(second);
    return purse;
  }

  /** The first second, not before `from`, that the running jobs cannot pay in full; null if there is none. */
  dryFrom(from: number): number | null {
    const purse = this.at(from);
    purse.watch();
    for (const call of this.#calls.slice(this.#countUntil(from))) {
      purse.apply(call);
      if (purse.dryAt !== null) return purse.dryAt;
    }
    purse.advance(LAST_SECOND);
    return purse.dryAt;
  }

  /** Replays everything up to this second with books. */
  books(second: number): { readonly books: Books; readonly purse: Purse } {
    const books = new Books();
    const purse = new Purse(this.#policy, books);
    for (const call of this.#calls.slice(0, this.#countUntil(second))) purse.apply(call);
    purse.advance(second);
    return { books, purse };
  }

  /** The tip, if the call comes last and the tip is not past it; the call may be applied to it in place. */
  #tipBefore(call: Call, place: number): Purse | null {
    return place === this.#calls.length && this.#tip !== null && this.#tip.now <= call.at ? this.#tip : null;
  }

  /** A purse of the caller's own after the first `count` calls; leaves marks on the way to it. */
  #after(count: number): Purse {
    const base = this.#baseOf(count);
    const purse = base.purse.copy();
    const marks: Mark[] = [];
    for (const [passed, call] of this.#calls.slice(base.count, count).entries()) {
      const isCovered = purse.apply(call);
      invariant(isCovered, "recorded calls stay covered");
      this.#mark(marks, base.count, base.count + passed + 1, purse);
    }
    this.#marks.splice(this.#marks.indexOf(base) + 1, 0, ...marks);
    return purse;
  }

  #baseOf(count: number): Mark {
    const base = this.#marks[countWhile(this.#marks, (mark) => mark.count <= count) - 1];
    invariant(base !== undefined, "there is a mark at 0");
    return base;
  }

  /** Adds a mark if the last of `marks`, or else the last up to `place`, is far enough behind. */
  #mark(marks: Mark[], place: number, count: number, purse: Purse): void {
    const last = marks.at(-1) ?? this.#baseOf(place);
    if (count - last.count >= Math.max(MARK_EVERY_CALLS, purse.size)) marks.push({ count, purse: purse.copy() });
  }

  /** What was marked after the call's place is no longer true; `marks` replaces it. */
  #insert(call: Call, place: number, marks: readonly Mark[]): void {
    this.#calls.splice(place, 0, call);
    this.#marks.length = countWhile(this.#marks, (mark) => mark.count <= place);
    this.#marks.push(...marks);
  }

  #countUntil(second: number): number {
    return countWhile(this.#calls, (call) => call.at <= second);
  }
}
