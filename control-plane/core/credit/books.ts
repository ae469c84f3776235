/**
 * Where each credit of each grant is. Entries only move credits between a grant's columns, so a grant's columns always
 * add up to its amount (L1); a negative column is a bug and stops the replay.
 */
import { invariant } from "#protocol/invariant.ts";
import type { Grant } from "./grant.ts";

export type Column = "available" | "held" | "consumed" | "expired" | "voided";

export type GrantStatement = { readonly id: string; readonly amount: bigint } & Readonly<Record<Column, bigint>>;

export class Books {
  readonly #columns = new Map<Grant, Record<Column, bigint>>();

  open(grant: Grant): void {
    this.#columns.set(grant, { available: grant.amount, held: 0n, consumed: 0n, expired: 0n, voided: 0n });
  }

  move(grant: Grant, amount: bigint, from: Column, to: Column): void {
    const columns = this.#columns.get(grant);
    invariant(columns !== undefined, "entries are about grants that have started");
    columns[from] -= amount;
    columns[to] += amount;
    invariant(columns[from] >= 0n, "a grant never gives more than it has");
  }

  /** In the order in which the grants started. */
  grants(): readonly GrantStatement[] {
    return [...this.#columns].map(([grant, columns]) => ({ id: grant.id, amount: grant.amount, ...columns }));
  }
}
