/** The operator's acts: accounts, keys, grants, a look at the runners. */
import { findAccount, insertAccount, insertKey, keysOfAccount, revokeKey } from "#control-plane/db/admin.ts";
import type { DeviceTelemetry } from "#protocol/runner.ts";
import type { KeyEntry } from "#control-plane/db/admin.ts";
import type { Database } from "#control-plane/db/connect.ts";
import { allRunners } from "#control-plane/db/runners.ts";
import { leasesOfRunner } from "#control-plane/db/leases.ts";
import { allTiers } from "#control-plane/db/tiers.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { AdminAccount, AdminGrant, AdminKey, AdminRunner, CreateAccount, CreateGrant } from "#protocol/admin.ts";
import { hashOfKey, mintKey } from "#protocol/api-key.ts";
import type { KeyEnv } from "#protocol/api-key.ts";
import { AccountId } from "#protocol/id.ts";
import type { RunnerId, Sha256Hex } from "#protocol/id.ts";
import { creditsText, milliCreditsOf } from "#protocol/unit.ts";
import type { z } from "zod";
import { accountOf, answer, NO_ACCOUNT, refuse, secondsOf, unknownTier } from "./admin-answer.ts";
import type { Answer } from "./admin-answer.ts";
import { record } from "./admin-audit.ts";
import type { Operator } from "./admin-audit.ts";
import { grantCredits } from "./credits.ts";

/** An account has a few; of those that were revoked long ago the oldest are not shown. */
const KEYS_SHOWN_MAX = 200;
const REF_CHARS = "0123456789abcdefghijklmnopqrstuvwxyz";

export function createAccount(
  { sql }: Database,
  by: Operator,
  wanted: z.infer<typeof CreateAccount>,
  randomBytes: (count: number) => Uint8Array,
): Promise<Answer<z.infer<typeof AdminAccount>>> {
  const ref = Array.from(randomBytes(16), (byte) => REF_CHARS[byte % REF_CHARS.length]).join("");
  const id = AccountId.parse(`acct_${ref}`);
  return inTransaction(sql, async (tx) => {
    const tiers = await allTiers(tx);
    if (tiers.every(({ name }) => name !== wanted.tier)) return refuse(unknownTier(tiers));
    const row = await insertAccount(tx, { id, name: wanted.name, tier: wanted.tier });
    await record(tx, by, { act: "account.create", target: id, changes: { ...wanted } });
    return answer(accountOf(row));
  });
}

/** The key itself is in this answer only; Postgres keeps its hash. */
export async function createKey(
  { sql }: Database,
  by: Operator,
  account: AccountId,
  env: KeyEnv,
  randomBytes: (count: number) => Uint8Array,
): Promise<Answer<z.infer<typeof AdminKey>>> {
  const key = mintKey(env, account, randomBytes(64));
  const keySha256 = await hashOfKey(key);
  return inTransaction(sql, async (tx) => {
    if ((await findAccount(tx, account)) === null) return refuse(NO_ACCOUNT);
    const row = await insertKey(tx, { accountId: account, keySha256, last4: key.slice(-4) });
    await record(tx, by, { act: "key.create", target: row.id, changes: { account, last4: row.last4 } });
    return answer({ ...keyOf(row), api_key: key });
  });
}

export async function listKeys(
  { sql }: Database,
  account: AccountId,
): Promise<Answer<{ readonly data: readonly z.infer<typeof AdminKey>[] }>> {
  if ((await findAccount(sql, account)) === null) return refuse(NO_ACCOUNT);
  return answer({ data: (await keysOfAccount(sql, account, KEYS_SHOWN_MAX)).map(keyOf) });
}

/** Whose key it was, so that the edge can forget it at once. */
export function endKey(
  { sql }: Database,
  by: Operator,
  id: string,
): Promise<Answer<{ readonly account: AccountId; readonly keySha256: Sha256Hex }>> {
  return inTransaction(sql, async (tx) => {
    const row = await revokeKey(tx, id);
    if (row === null) return refuse({ code: "not_found", message: "No such live key." });
    await record(tx, by, { act: "key.revoke", target: id, changes: { account: row.accountId, last4: row.last4 } });
    return answer({ account: row.accountId, keySha256: row.keySha256 });
  });
}

/** `idempotencyKey`: the same one with the same grant makes no second grant; null is not to be repeated. */
export async function createGrant(
  { sql }: Pick<Database, "sql">,
  by: Operator,
  wanted: z.infer<typeof CreateGrant>,
  idempotencyKey: string | null = null,
): Promise<Answer<z.infer<typeof AdminGrant>>> {
  const terms = {
    account: wanted.account_id,
    amount: milliCreditsOf(wanted.amount),
    category: wanted.category,
    priority: wanted.priority,
    effectiveAt: wanted.effective_at === undefined ? null : new Date(wanted.effective_at),
    expiresAt: wanted.expires_at === undefined ? null : new Date(wanted.expires_at),
  };
  const acted = await grantCredits(sql, by, terms, idempotencyKey);
  if (!acted.ok) return acted;
  const { at, entries } = acted.value;
  return answer({
    id: entries[0]?.grantId ?? "",
    object: "credit_grant",
    account_id: wanted.account_id,
    amount: creditsText(terms.amount),
    category: terms.category,
    priority: terms.priority,
    effective_at: secondsOf(terms.effectiveAt ?? at),
    expires_at: terms.expiresAt === null ? null : secondsOf(terms.expiresAt),
  });
}

/** A runner with a socket to this replica. */
export interface RunnerStanding {
  readonly state: "connected" | "draining";
  readonly telemetry: readonly DeviceTelemetry[];
}

export async function listRunners(
  { sql }: Database,
  standings: ReadonlyMap<RunnerId, RunnerStanding>,
): Promise<readonly z.infer<typeof AdminRunner>[]> {
  const rows = await allRunners(sql);
  return Promise.all(
    rows.map(async (row) => ({
      id: row.id,
      engine: row.engine,
      build: row.build,
      models: [...row.models],
      devices: [...row.devices],
      state: stateOf(standings.get(row.id)?.state ?? "lost", row.drained),
      telemetry: [...(standings.get(row.id)?.telemetry ?? [])],
      drained: row.drained,
      leases: (await leasesOfRunner(sql, row.id)).map(({ job, epoch }) => ({ job, epoch })),
    })),
  );
}

function stateOf(state: "connected" | "draining" | "lost", drained: boolean) {
  return drained && state === "connected" ? "draining" : state;
}

function keyOf(row: KeyEntry): z.infer<typeof AdminKey> {
  return {
    id: row.id,
    account_id: row.accountId,
    last4: row.last4,
    created_at: secondsOf(row.createdAt),
    last_used_at: row.lastUsedAt === null ? null : secondsOf(row.lastUsedAt),
    revoked_at: row.revokedAt === null ? null : secondsOf(row.revokedAt),
  };
}
