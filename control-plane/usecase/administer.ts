/** The operator's acts: accounts, keys, grants, a look at the runners. */
import { findAccount, insertAccount, insertGrant, insertKey, revokeKey, tierNames } from "#control-plane/db/admin.ts";
import type { Database } from "#control-plane/db/connect.ts";
import { allRunners } from "#control-plane/db/runners.ts";
import { leasesOfRunner } from "#control-plane/db/leases.ts";
import type { AdminAccount, AdminGrant, AdminKey, AdminRunner, CreateAccount, CreateGrant } from "#protocol/admin.ts";
import { hashOfKey, mintKey } from "#protocol/api-key.ts";
import type { KeyEnv } from "#protocol/api-key.ts";
import type { Refusal } from "#protocol/error.ts";
import { AccountId } from "#protocol/id.ts";
import type { RunnerId, Sha256Hex } from "#protocol/id.ts";
import { creditsText, milliCreditsOf } from "#protocol/unit.ts";
import type { z } from "zod";

type Answer<Value> = { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly refusal: Refusal };

const REF_CHARS = "0123456789abcdefghijklmnopqrstuvwxyz";

export async function createAccount(
  { orm }: Database,
  wanted: z.infer<typeof CreateAccount>,
  randomBytes: (count: number) => Uint8Array,
): Promise<Answer<z.infer<typeof AdminAccount>>> {
  const tiers = await tierNames(orm);
  if (!tiers.includes(wanted.tier)) {
    return refuse({
      code: "invalid_value",
      param: "tier",
      message: `Invalid 'tier': it must be one of ${tiers.join(", ")}.`,
    });
  }
  const ref = Array.from(randomBytes(16), (byte) => REF_CHARS[byte % REF_CHARS.length]).join("");
  const row = await insertAccount(orm, { id: AccountId.parse(`acct_${ref}`), name: wanted.name, tier: wanted.tier });
  return answer({ id: AccountId.parse(row.id), name: row.name, tier: row.tier, created_at: secondsOf(row.createdAt) });
}

/** The key itself is in this answer only; Postgres keeps its hash. */
export async function createKey(
  { orm }: Database,
  account: AccountId,
  env: KeyEnv,
  randomBytes: (count: number) => Uint8Array,
): Promise<Answer<z.infer<typeof AdminKey>>> {
  if ((await findAccount(orm, account)) === null) return refuse(NO_ACCOUNT);
  const key = mintKey(env, account, randomBytes(64));
  const row = await insertKey(orm, { accountId: account, keySha256: await hashOfKey(key), last4: key.slice(-4) });
  return answer({
    id: row.id,
    account_id: account,
    last4: row.last4,
    api_key: key,
    created_at: secondsOf(row.createdAt),
  });
}

/** Whose key it was, so that the edge can forget it at once. */
export async function endKey(
  { orm }: Database,
  id: string,
): Promise<Answer<{ readonly account: AccountId; readonly keySha256: Sha256Hex }>> {
  const row = await revokeKey(orm, id);
  if (row === null) return refuse({ code: "not_found", message: "No such live key." });
  return answer({ account: row.accountId, keySha256: row.keySha256 });
}

export async function createGrant(
  { orm }: Database,
  wanted: z.infer<typeof CreateGrant>,
): Promise<Answer<z.infer<typeof AdminGrant>>> {
  if ((await findAccount(orm, wanted.account_id)) === null) return refuse({ ...NO_ACCOUNT, param: "account_id" });
  const row = await insertGrant(orm, {
    accountId: wanted.account_id,
    amount: milliCreditsOf(wanted.amount),
    category: wanted.category,
    priority: wanted.priority,
    effectiveAt: wanted.effective_at === undefined ? null : new Date(wanted.effective_at),
    expiresAt: wanted.expires_at === undefined ? null : new Date(wanted.expires_at),
  });
  return answer({
    id: row.id,
    object: "credit_grant",
    account_id: row.accountId,
    amount: creditsText(row.amount),
    category: row.category,
    priority: row.priority,
    effective_at: secondsOf(row.effectiveAt),
    expires_at: row.expiresAt === null ? null : secondsOf(row.expiresAt),
  });
}

export async function listRunners(
  { sql }: Database,
  states: ReadonlyMap<RunnerId, "connected" | "draining">,
): Promise<readonly z.infer<typeof AdminRunner>[]> {
  const rows = await allRunners(sql);
  return Promise.all(
    rows.map(async (row) => ({
      id: row.id,
      engine: row.engine,
      build: row.build,
      models: [...row.models],
      devices: [...row.devices],
      state: states.get(row.id) ?? ("lost" as const),
      leases: (await leasesOfRunner(sql, row.id)).map(({ job, epoch }) => ({ job, epoch })),
    })),
  );
}

const NO_ACCOUNT: Refusal = { code: "not_found", message: "No such account." };

function answer<Value>(value: Value): Answer<Value> {
  return { ok: true, value };
}

function refuse<Value>(refusal: Refusal): Answer<Value> {
  return { ok: false, refusal };
}

function secondsOf(moment: Date): number {
  return Math.floor(moment.getTime() / 1_000);
}
