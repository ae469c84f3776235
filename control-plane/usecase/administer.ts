/** The operator's acts: accounts, keys, grants, a look at the runners. */
import { findAccount, insertAccount, insertKey, revokeKey } from "#control-plane/db/admin.ts";
import type { Database } from "#control-plane/db/connect.ts";
import { allRunners } from "#control-plane/db/runners.ts";
import { leasesOfRunner } from "#control-plane/db/leases.ts";
import { allTiers } from "#control-plane/db/tiers.ts";
import type { AdminAccount, AdminGrant, AdminKey, AdminRunner, CreateAccount, CreateGrant } from "#protocol/admin.ts";
import { hashOfKey, mintKey } from "#protocol/api-key.ts";
import type { KeyEnv } from "#protocol/api-key.ts";
import { AccountId } from "#protocol/id.ts";
import type { RunnerId, Sha256Hex } from "#protocol/id.ts";
import { creditsText, milliCreditsOf } from "#protocol/unit.ts";
import type { z } from "zod";
import { accountOf, answer, NO_ACCOUNT, refuse, secondsOf, unknownTier } from "./admin-answer.ts";
import type { Answer } from "./admin-answer.ts";
import { grantCredits } from "./credits.ts";

const REF_CHARS = "0123456789abcdefghijklmnopqrstuvwxyz";

export async function createAccount(
  { sql, orm }: Database,
  wanted: z.infer<typeof CreateAccount>,
  randomBytes: (count: number) => Uint8Array,
): Promise<Answer<z.infer<typeof AdminAccount>>> {
  const tiers = await allTiers(sql);
  if (tiers.every(({ name }) => name !== wanted.tier)) return refuse(unknownTier(tiers));
  const ref = Array.from(randomBytes(16), (byte) => REF_CHARS[byte % REF_CHARS.length]).join("");
  const row = await insertAccount(orm, { id: AccountId.parse(`acct_${ref}`), name: wanted.name, tier: wanted.tier });
  return answer(accountOf(row));
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

/** `idempotencyKey`: the same one with the same grant makes no second grant; null is not to be repeated. */
export async function createGrant(
  { sql }: Pick<Database, "sql">,
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
  const acted = await grantCredits(sql, terms, idempotencyKey);
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
      state: stateOf(states.get(row.id) ?? "lost", row.drained),
      drained: row.drained,
      leases: (await leasesOfRunner(sql, row.id)).map(({ job, epoch }) => ({ job, epoch })),
    })),
  );
}

function stateOf(state: "connected" | "draining" | "lost", drained: boolean) {
  return drained && state === "connected" ? "draining" : state;
}
