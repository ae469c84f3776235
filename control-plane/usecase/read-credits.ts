/** What an account may read of its credits. Nothing here changes state. */
import type { Sql } from "#control-plane/db/connect.ts";
import { balanceOf, grantsOf, transactionsOf } from "#control-plane/db/ledger-read.ts";
import type { GrantRow, JournalRow } from "#control-plane/db/ledger-read.ts";
import { EXPIRING_MAX, TransactionId } from "#protocol/credits.ts";
import type {
  CreditBalance,
  CreditGrant,
  CreditGrantList,
  CreditTransaction,
  CreditTransactionList,
  GrantQuery,
  TransactionQuery,
} from "#protocol/credits.ts";
import type { AccountId } from "#protocol/id.ts";
import { creditsText } from "#protocol/unit.ts";
import { secondsOf } from "./admin-answer.ts";

const TRANSACTION_PREFIX = "txn_";

export async function readBalance(sql: Sql, account: AccountId): Promise<CreditBalance> {
  const { available, held, pending, grants } = await balanceOf(sql, account);
  return {
    object: "credit_balance",
    unit: "credits",
    settled: creditsText(available + held),
    held: creditsText(held),
    available: creditsText(available),
    pending: creditsText(pending),
    expiring: grants
      .flatMap(endOf)
      .toSorted((a, b) => a.at - b.at)
      .slice(0, EXPIRING_MAX),
  };
}

export async function readGrants(sql: Sql, account: AccountId, query: GrantQuery): Promise<CreditGrantList> {
  const rows = await grantsOf(sql, account, query);
  return listOf(rows.slice(0, query.limit).map(grantView), rows.length > query.limit);
}

export async function readTransactions(
  sql: Sql,
  account: AccountId,
  { limit, order, after }: TransactionQuery,
): Promise<CreditTransactionList> {
  const page = { limit, order, after: after?.slice(TRANSACTION_PREFIX.length) };
  const rows = await transactionsOf(sql, account, page);
  return listOf(rows.slice(0, limit).map(transactionView), rows.length > limit);
}

export function grantView(row: GrantRow): CreditGrant {
  return {
    id: row.id,
    object: "credit_grant",
    amount: creditsText(row.amount),
    remaining: creditsText(row.available),
    held: creditsText(row.held),
    consumed: creditsText(row.consumed),
    expired: creditsText(row.expired),
    voided: creditsText(row.voided),
    category: row.category,
    priority: row.priority,
    effective_at: secondsOf(row.effectiveAt),
    expires_at: row.expiresAt === null ? null : secondsOf(row.expiresAt),
    status: row.status,
    created_at: secondsOf(row.createdAt),
  };
}

function transactionView(row: JournalRow): CreditTransaction {
  return {
    id: TransactionId.parse(`${TRANSACTION_PREFIX}${row.id}`),
    object: "credit_transaction",
    type: row.kind,
    amount: creditsText(row.amount),
    grant_id: row.grantId,
    video_id: row.jobId,
    available: { before: creditsText(row.availableAfter - row.effect), after: creditsText(row.availableAfter) },
    reason: row.reason,
    booked_at: secondsOf(row.at),
  };
}

function endOf({ id, available, expiresAt }: GrantRow): CreditBalance["expiring"] {
  if (expiresAt === null || available === 0n) return [];
  return [{ grant_id: id, amount: creditsText(available), at: secondsOf(expiresAt) }];
}

function listOf<Entry extends { readonly id: string }>(data: Entry[], hasMore: boolean) {
  return {
    object: "list" as const,
    data,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  };
}
