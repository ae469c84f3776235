/**
 * The account's object at the edge, as far as events go: it takes what is pushed, forgets what it has, and pulls where it
 * finds a gap. It must come to have every number exactly once, and the same event under it as the database.
 */
import type { Push } from "#protocol/edge-call.ts";
import type { Event } from "#protocol/event.ts";
import type { AccountId } from "#protocol/id.ts";

export class SimulatedEdge {
  /** Through which number each account was told, from where it subscribed. */
  readonly heard = new Map<AccountId, number>();
  /** The highest number that came, kept or not. */
  readonly received = new Map<AccountId, number>();
  readonly events = new Map<string, Event>();

  /** The answer to a subscription: what was written before it is pulled, what comes after it is pushed. */
  subscribed(account: AccountId, last: number, missing: (after: number) => void): void {
    const through = this.heard.getOrInsert(account, last);
    if (through < last) missing(through);
  }

  /** Answers what is wrong with it, null if nothing is; `missing` is called where it must pull. */
  receive(account: AccountId, { items }: Push, missing: (after: number) => void): string | null {
    for (const item of items) {
      if (item.kind !== "event") continue;
      const wrong = this.#take(account, item.event, missing);
      if (wrong !== null) return wrong;
    }
    return null;
  }

  #take(account: AccountId, event: Event, missing: (after: number) => void): string | null {
    const number = event.sequence_number;
    this.received.set(account, Math.max(number, this.received.get(account) ?? 0));
    // The first push may overtake the answer to the subscription.
    const through = this.heard.getOrInsert(account, number - 1);
    const key = `${account}/${number}`;
    const known = this.events.get(key);
    if (known !== undefined) return known.id === event.id ? null : `number ${number} of ${account} names two events`;
    if (number > through + 1) missing(through);
    if (number !== through + 1) return null;
    this.events.set(key, event);
    this.heard.set(account, number);
    return null;
  }
}
