/** Keys of creates: which video one stands for. The submit statement writes them (`submit.ts`). */
import type { JobRecord } from "#control-plane/core/job.ts";
import { IDEMPOTENCY_KEPT_MS } from "#protocol/idempotency.ts";
import type { AccountId, Sha256Hex } from "#protocol/id.ts";
import type { Sql } from "./connect.ts";

export interface Claimed {
  /** Of the request that claimed the key. */
  readonly fingerprint: Sha256Hex;
  readonly job: JobRecord;
}

/** The video that the key stands for; null if it is free, or free again. */
export async function jobOfKey(sql: Sql, account: AccountId, keySha256: Sha256Hex): Promise<Claimed | null> {
  const [row] = await sql<(JobRecord & { readonly fingerprint: Sha256Hex })[]>`
    select job.*, k.fingerprint from idempotency_key k join job on job.id = k.job_id
    where k.account_id = ${account} and k.key_sha256 = ${keySha256}
      and k.created_at > now() - make_interval(secs => ${IDEMPOTENCY_KEPT_MS / 1_000})`;
  return row === undefined ? null : { fingerprint: row.fingerprint, job: row };
}

/** Removes at most `max` keys that are free again; a key is free by its age, removed or not. */
export async function forgetKeys(sql: Sql, max: number): Promise<number> {
  const rows = await sql`
    delete from idempotency_key where (account_id, key_sha256) in (
      select account_id, key_sha256 from idempotency_key
      where created_at <= now() - make_interval(secs => ${IDEMPOTENCY_KEPT_MS / 1_000})
      order by created_at limit ${max}
      for update skip locked
    ) returning 1`;
  return rows.length;
}
