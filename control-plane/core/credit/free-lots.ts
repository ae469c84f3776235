/** What may be spent: at most one lot a grant, none empty, in burn order. Lots are replaced, never changed: copies share them. */
import { invariant } from "#protocol/invariant.ts";
import { countWhile } from "./call.ts";
import { burnOrder, least } from "./grant.ts";
import type { Grant, Lot } from "./grant.ts";

export class FreeLots {
  /** The next to burn is last, so that taking it is cheap. */
  #lots: Lot[] = [];
  #total = 0n;

  copy(): FreeLots {
    const copy = new FreeLots();
    copy.#lots = this.#lots.slice();
    copy.#total = this.#total;
    return copy;
  }

  get total(): bigint {
    return this.#total;
  }

  get size(): number {
    return this.#lots.length;
  }

  add(grant: Grant, amount: bigint): void {
    if (amount === 0n) return;
    const place = this.#placeOf(grant);
    const there = this.#lots[place];
    if (there?.grant === grant) this.#lots[place] = { grant, amount: there.amount + amount };
    else this.#lots.splice(place, 0, { grant, amount });
    this.#total += amount;
  }

  /** The next `amount` to burn. */
  take(amount: bigint): readonly Lot[] {
    const taken: Lot[] = [];
    let left = amount;
    while (left > 0n) {
      const lot = this.#lots.pop();
      invariant(lot !== undefined, "nobody takes more than the total");
      const part = least(lot.amount, left);
      if (part < lot.amount) this.#lots.push({ grant: lot.grant, amount: lot.amount - part });
      taken.push({ grant: lot.grant, amount: part });
      left -= part;
    }
    this.#total -= amount;
    return taken;
  }

  /** Takes all that is left of one grant. */
  remove(grant: Grant): bigint {
    const place = this.#placeOf(grant);
    const there = this.#lots[place];
    if (there?.grant !== grant) return 0n;
    this.#lots.splice(place, 1);
    this.#total -= there.amount;
    return there.amount;
  }

  #placeOf(grant: Grant): number {
    return countWhile(this.#lots, (lot) => burnOrder(lot.grant, grant) > 0);
  }
}
