/** The lots that open holds keep for their jobs, in burn order; a hold that keeps nothing is closed. */
import { invariant } from "#protocol/invariant.ts";
import { least, sumOf } from "./grant.ts";
import type { Lot } from "./grant.ts";

export class Pins {
  #lotsOf = new Map<string, readonly Lot[]>();

  copy(): Pins {
    const copy = new Pins();
    copy.#lotsOf = new Map(this.#lotsOf);
    return copy;
  }

  get size(): number {
    return this.#lotsOf.size;
  }

  /** What each open hold still pins. */
  get holds(): readonly { readonly job: string; readonly amount: bigint }[] {
    return [...this.#lotsOf].map(([job, lots]) => ({ job, amount: sumOf(lots) }));
  }

  pin(job: string, lots: readonly Lot[]): void {
    this.#lotsOf.set(job, lots);
  }

  /** Takes so much from the hold, the first to burn first. */
  take(job: string, amount: bigint): readonly Lot[] {
    const taken: Lot[] = [];
    const kept: Lot[] = [];
    let left = amount;
    for (const { grant, amount: pinned } of this.#lotsOf.get(job) ?? []) {
      const part = least(left, pinned);
      left -= part;
      if (part > 0n) taken.push({ grant, amount: part });
      if (part < pinned) kept.push({ grant, amount: pinned - part });
    }
    invariant(left === 0n, "nobody takes more than is held");
    if (kept.length > 0) this.#lotsOf.set(job, kept);
    else this.#lotsOf.delete(job);
    return taken;
  }

  /** Closes the hold and takes what it still keeps. */
  close(job: string): readonly Lot[] {
    const lots = this.#lotsOf.get(job) ?? [];
    this.#lotsOf.delete(job);
    return lots;
  }
}
