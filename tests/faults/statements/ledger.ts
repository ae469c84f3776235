/** As `control-plane/db/ledger.ts`, as far as jobs move credits; the operator's acts are not simulated. */
import type { GrantRecord, MakeGood, PinnedLot, Posting, Settlement } from "#control-plane/core/ledger.ts";
import type { Occasion } from "#control-plane/db/ledger.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { milliCredits } from "#protocol/unit.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";
import type { GrantRow } from "../postgres/tables.ts";
import { DatabaseError } from "../postgres/tx.ts";
import type { Tx } from "../postgres/tx.ts";

export function lockLedger(tx: Transaction, account: AccountId): Promise<Date | null> {
  return statement(tx, "lockLedger", (on) => {
    on.lock(tables().account, account);
    return on.get(tables().account, account) === null ? null : on.clock();
  });
}

function availableOf(on: Tx, account: AccountId): bigint {
  let sum = 0n;
  for (const row of on.snapshot(tables().grant)) if (row.accountId === account) sum += row.available;
  return sum;
}

export function post(tx: Transaction, occasion: Occasion, postings: readonly Posting[]): Promise<void> {
  return statement(tx, "post", (on) => {
    const { account, job = null, at } = occasion;
    const issued = postings.reduce((sum, { from, amount }) => (from === "issued" ? sum + amount : sum), 0n);
    let available = availableOf(on, account) - issued;
    for (const { kind, grantId, from, to, amount } of postings) {
      if (from === "available") available -= amount;
      if (to === "available") available += amount;
      moveBooks(on, grantId, { from, to, amount });
      writeEntry(on, { account, grantId, job, kind, from, to, amount, available, at });
    }
  });
}

export function moveBooks(
  on: Tx,
  grantId: string,
  { from, to, amount }: Pick<Posting, "from" | "to"> & { amount: bigint },
): void {
  const { grant } = tables();
  const row = on.get(grant, grantId);
  if (row === null) throw new DatabaseError("23503", `no grant ${grantId}`);
  const change = (book: Posting["to"]) => (to === book ? amount : 0n) - (from === book ? amount : 0n);
  const moved = {
    ...row,
    held: row.held + change("held"),
    consumed: row.consumed + change("consumed"),
    expired: row.expired + change("expired"),
    voided: row.voided + change("voided"),
  };
  const { held, consumed, expired, voided } = moved;
  on.put(grant, grantId, { ...moved, available: milliCredits(row.amount - held - consumed - expired - voided) });
}

interface NewEntry {
  readonly account: AccountId;
  readonly grantId: string;
  readonly job: VideoId | null;
  readonly kind: Posting["kind"];
  readonly from: Posting["from"];
  readonly to: Posting["to"];
  readonly amount: bigint;
  readonly available: bigint;
  readonly at: Date;
}

export function writeEntry(on: Tx, { account, grantId, job, kind, from, to, amount, available, at }: NewEntry): void {
  const { entry, entryOfJob } = tables();
  const id = tables().nextId();
  if (job !== null) on.insert(entryOfJob, `${job}/${grantId}/${kind}`, id);
  on.insert(entry, String(id), {
    id,
    accountId: account,
    grantId,
    jobId: job,
    kind,
    fromBook: from,
    toBook: to,
    amount,
    availableAfter: available,
    at,
  });
}

export function openLots(tx: Transaction, job: VideoId): Promise<readonly PinnedLot[]> {
  return statement(tx, "openLots", (on) => {
    const { hold, lot, grant } = tables();
    if (on.get(hold, job)?.state !== "open") return [];
    return [...on.rows(lot)]
      .filter((row) => row.jobId === job)
      .sort((a, b) => a.rank - b.rank)
      .map(({ grantId, amount }) => ({ grant: on.get(grant, grantId) as GrantRow, amount }));
  });
}

export function closeHold(
  tx: Transaction,
  { job }: { readonly job: VideoId; readonly at: Date },
  lots: readonly PinnedLot[],
  settlement: Settlement,
): Promise<void> {
  return statement(tx, "closeHold", (on) => {
    const { hold, lot } = tables();
    on.lock(hold, job);
    const row = on.get(hold, job);
    if (row === null || row.state !== "open") return;
    const captured = settlement.captured.reduce((sum, part) => sum + part, 0n);
    on.put(hold, job, { ...row, state: "settled", captured, released: row.amount - captured });
    lots.forEach(({ grant }, at) => {
      const pinned = on.get(lot, `${job}/${grant.id}`);
      if (pinned !== null) on.put(lot, `${job}/${grant.id}`, { ...pinned, captured: settlement.captured[at] ?? 0n });
    });
  });
}

export function insertMakeGood(tx: Transaction, account: AccountId, made: MakeGood): Promise<void> {
  return statement(tx, "insertMakeGood", (on) => {
    const { id, amount, category, priority, effectiveAt, expiresAt } = made;
    const books = { held: 0n, consumed: 0n, expired: 0n, voided: 0n, expiredAt: null, voidedAt: null };
    const row = {
      id,
      accountId: account,
      amount,
      available: amount,
      category,
      priority,
      effectiveAt,
      expiresAt,
      ...books,
    };
    on.insert(tables().grant, id, row);
  });
}

/** No grant of the simulation ends while it runs. */
export function accountsToExpire(_sql: Sql, _limit: number): Promise<readonly AccountId[]> {
  return Promise.resolve([]);
}

export function grantsToExpire(): Promise<readonly GrantRecord[]> {
  return Promise.resolve([]);
}
