/**
 * How many calls of a kind may be under way at once, of all accounts and of one.
 *
 * A burst that what is behind can take is over soon, and is let in whole. Where as many as `calm` have been under way for a second
 * without a break there is more to do than can be done: from then on only `crowdedMax` are let in, so that each of them is answered in time,
 * and who is not is told so at once. Nobody who is in is thrown out.
 */
import type { AccountId } from "#protocol/id.ts";

const CROWDED_AFTER_MS = 1_000;
/** Of the places, how many one account may take: never all. */
const ACCOUNT_SHARE = 5 / 6;

export interface Room {
  readonly max: number;
  readonly calm: number;
  readonly crowdedMax: number;
}

export class Places {
  readonly #room: Room;
  readonly #ofAccounts = new Map<AccountId, number>();
  #all = 0;
  /** Since when more than `calm` have been under way. */
  #busySinceMs: number | null = null;

  constructor(room: Room) {
    this.#room = room;
  }

  /** `idle`: how many of those under way only wait for the control plane to come back, and cost nothing. */
  hasRoom(account: AccountId, idle: number, nowMs: number): boolean {
    if (this.#all - idle <= this.#room.calm) this.#busySinceMs = null;
    const max = this.#isCrowded(nowMs) ? this.#room.crowdedMax : this.#room.max;
    return this.#all - idle < max && (this.#ofAccounts.get(account) ?? 0) < Math.floor(max * ACCOUNT_SHARE);
  }

  /** Also where there is no room: of work that follows from what was begun. */
  enter(account: AccountId, nowMs: number): void {
    this.#all++;
    this.#ofAccounts.set(account, (this.#ofAccounts.get(account) ?? 0) + 1);
    if (this.#all > this.#room.calm) this.#busySinceMs ??= nowMs;
  }

  leave(account: AccountId): void {
    this.#all--;
    const left = (this.#ofAccounts.get(account) ?? 1) - 1;
    if (left === 0) this.#ofAccounts.delete(account);
    else this.#ofAccounts.set(account, left);
    if (this.#all <= this.#room.calm) this.#busySinceMs = null;
  }

  #isCrowded(nowMs: number): boolean {
    return this.#busySinceMs !== null && nowMs - this.#busySinceMs >= CROWDED_AFTER_MS;
  }
}
