/** As `control-plane/db/idempotency.ts`. */
import type { Claimed } from "#control-plane/db/idempotency.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { IDEMPOTENCY_KEPT_MS } from "#protocol/idempotency.ts";
import type { AccountId, Sha256Hex } from "#protocol/id.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";
import type { Tx } from "../postgres/tx.ts";
import type { KeyRow } from "../postgres/tables.ts";

/** The row that stands for something at `at`. */
export function standingKey(on: Tx, account: AccountId, keySha256: Sha256Hex, at: Date): KeyRow | null {
  const row = on.get(tables().idempotencyKey, `${account}/${keySha256}`);
  return row !== null && row.createdAt.getTime() > at.getTime() - IDEMPOTENCY_KEPT_MS ? row : null;
}

export function jobOfKey(sql: Sql, account: AccountId, keySha256: Sha256Hex): Promise<Claimed | null> {
  return statement(sql, "jobOfKey", (on): Claimed | null => {
    const row = standingKey(on, account, keySha256, on.now);
    const job = row === null ? null : on.get(tables().job, row.jobId);
    return row === null || job === null ? null : { fingerprint: row.fingerprint, job };
  });
}

export function forgetKeys(sql: Sql, max: number): Promise<number> {
  return statement(sql, "forgetKeys", (on) => {
    const { idempotencyKey } = tables();
    const before = on.now.getTime() - IDEMPOTENCY_KEPT_MS;
    const old = [...on.entries(idempotencyKey)].filter(([, { createdAt }]) => createdAt.getTime() <= before);
    for (const [key] of old.slice(0, max)) on.put(idempotencyKey, key, null);
    return Math.min(max, old.length);
  });
}
