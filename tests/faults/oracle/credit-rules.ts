/** Rules of the ledger: a hold resolves once and whole, and grants say what the journal adds up to. */
import type { Book } from "#control-plane/core/ledger.ts";
import type { Change } from "../postgres/table.ts";
import type { EntryRow, GrantRow, HoldRow, LotRow, Tables } from "../postgres/tables.ts";
import type { Finding } from "./checker.ts";

export class CreditRules {
  readonly #tables: Tables;
  /** Of each grant and book, by the journal. */
  readonly #sums = new Map<string, bigint>();
  readonly #balances = new Map<string, bigint>();
  readonly #captures = new Map<string, number>();

  constructor(tables: Tables) {
    this.#tables = tables;
    for (const { id, accountId, amount } of tables.grant.committed()) {
      this.#sums.set(`${id} available`, amount);
      this.#balances.set(accountId, (this.#balances.get(accountId) ?? 0n) + amount);
    }
  }

  findings(changes: readonly Change[]): readonly Finding[] {
    const entries = changes.filter(({ table }) => table === "credit_entry").map(({ after }) => after as EntryRow);
    for (const { grantId, fromBook, toBook, amount } of entries) {
      this.#add(grantId, fromBook, -amount);
      this.#add(grantId, toBook, amount);
    }
    return [
      ...entries.toSorted((a, b) => a.id - b.id).map((entry) => this.#balanceFinding(entry)),
      ...entries.map((entry) => this.#captureFinding(entry)),
      ...changes.flatMap(({ table, before, after }) => {
        if (table === "credit_hold") return [this.#holdFinding(before as HoldRow | null, after as HoldRow)];
        return table === "credit_grant" ? this.#grantFindings(after as GrantRow) : [];
      }),
    ];
  }

  /** `available_after` is a running balance of the account, in the order in which it was written. */
  #balanceFinding({ id, accountId, fromBook, toBook, amount, availableAfter }: EntryRow): Finding {
    const change = (toBook === "available" ? amount : 0n) - (fromBook === "available" ? amount : 0n);
    const balance = (this.#balances.get(accountId) ?? 0n) + change;
    this.#balances.set(accountId, balance);
    return balance === availableAfter
      ? null
      : `entry ${id} says ${availableAfter} are left to ${accountId}, not ${balance}`;
  }

  #captureFinding({ kind, jobId, grantId }: EntryRow): Finding {
    if (kind !== "captured" && kind !== "released" && kind !== "held") return null;
    const key = `${jobId} ${grantId} ${kind}`;
    const times = (this.#captures.get(key) ?? 0) + 1;
    this.#captures.set(key, times);
    return times === 1 ? null : `${jobId} was ${kind} ${times} times from ${grantId}`;
  }

  #holdFinding(before: HoldRow | null, after: HoldRow): Finding {
    const { jobId, state, captured, amount } = after;
    if (before?.state === "settled") return `the hold of ${jobId} was settled and changed again`;
    if (captured > amount) return `${jobId} was charged ${captured} of ${amount}`;
    const job = this.#tables.job.get(jobId);
    if (state === "settled" && job?.finishedAt === null)
      return `the hold of ${jobId} is settled, and it is ${job.state}`;
    return null;
  }

  #grantFindings(grant: GrantRow): readonly Finding[] {
    const books: readonly Exclude<Book, "issued">[] = ["available", "held", "consumed", "expired", "voided"];
    let pinned = 0n;
    for (const lot of this.#tables.lot.committed())
      if (this.#isOpen(lot) && lot.grantId === grant.id) pinned += lot.amount;
    return [
      ...books.map((book) => {
        const journal = this.#sums.get(`${grant.id} ${book}`) ?? 0n;
        return journal === grant[book] ? null : `${grant.id} has ${grant[book]} ${book}, its journal ${journal}`;
      }),
      pinned === grant.held ? null : `${grant.id} has ${grant.held} held, open holds pin ${pinned}`,
    ];
  }

  #isOpen({ jobId }: LotRow): boolean {
    return this.#tables.hold.get(jobId)?.state === "open";
  }

  #add(grant: string, book: Book, amount: bigint): void {
    const key = `${grant} ${book}`;
    this.#sums.set(key, (this.#sums.get(key) ?? 0n) + amount);
  }
}
