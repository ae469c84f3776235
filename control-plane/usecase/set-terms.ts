/**
 * The operator's changes to what holds for everybody: tiers, an account's tier, models and classes, thresholds, drains.
 *
 * Each is one transaction with a hint to the leader, which reads all terms anew; nothing depends on the hint but the
 * delay. What was agreed with a video stays: its price, its class and its charge are fixed when it is admitted.
 */
import { limitsOnWire, limitsWith } from "#control-plane/core/scheduler/limit-overrides.ts";
import type { SchedulerLimits } from "#control-plane/core/scheduler/limits.ts";
import { updateAccount } from "#control-plane/db/accounts.ts";
import type { Database, Sql, Transaction } from "#control-plane/db/connect.ts";
import { forgiveRunner } from "#control-plane/db/incidents.ts";
import { postTermsChanged } from "#control-plane/db/jobs.ts";
import { setDrained } from "#control-plane/db/runners.ts";
import { allTiers, limitOverrides, saveLimits, upsertTier } from "#control-plane/db/tiers.ts";
import type { TierRow } from "#control-plane/db/tiers.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { AdminAccount, PatchAccount } from "#protocol/admin.ts";
import type { AdminLimits, AdminTier, PatchLimits, PutTier } from "#protocol/admin-terms.ts";
import type { AccountId, RunnerId } from "#protocol/id.ts";
import type { z } from "zod";
import { accountOf, answer, NO_ACCOUNT, refuse, unknownTier } from "./admin-answer.ts";
import type { Answer } from "./admin-answer.ts";
import { record } from "./admin-audit.ts";
import type { AdminAct, Operator } from "./admin-audit.ts";

export async function listTiers({ sql }: Database): Promise<readonly AdminTier[]> {
  return (await allTiers(sql)).map(tierOf);
}

export async function readTier({ sql }: Database, name: string): Promise<Answer<AdminTier>> {
  const row = (await allTiers(sql)).find((tier) => tier.name === name);
  return row === undefined ? refuse({ code: "not_found", message: "No such tier." }) : answer(tierOf(row));
}

/** A tier of that name is there afterwards, with exactly these terms. */
export function putTier(
  { sql }: Database,
  by: Operator,
  name: string,
  wanted: z.infer<typeof PutTier>,
): Promise<Answer<AdminTier>> {
  const row: TierRow = {
    name,
    weight: wanted.weight,
    shareMin: wanted.share_min,
    shareMax: wanted.share_max,
    maxRunning: wanted.max_running,
    tierMaxRunning: wanted.tier_max_running,
    maxQueued: wanted.max_queued,
    createsPerMinute: wanted.creates_per_minute,
    createsBurst: wanted.creates_burst,
    readsPerMinute: wanted.reads_per_minute,
    readsBurst: wanted.reads_burst,
    startBoundS: wanted.start_bound_s,
    keepVideoHours: wanted.keep_video_hours,
    keepDraftHours: wanted.keep_draft_hours,
  };
  return changing(sql, by, { act: "tier.put", target: name, changes: { ...wanted } }, async (tx) => {
    await upsertTier(tx, row);
    return answer(tierOf(row));
  });
}

export function changeAccount(
  { sql }: Database,
  by: Operator,
  id: AccountId,
  wanted: z.infer<typeof PatchAccount>,
): Promise<Answer<z.infer<typeof AdminAccount>>> {
  return changing(sql, by, { act: "account.change", target: id, changes: { ...wanted } }, async (tx) => {
    const tiers = await allTiers(tx);
    if (wanted.tier !== undefined && tiers.every(({ name }) => name !== wanted.tier)) return refuse(unknownTier(tiers));
    const row = await updateAccount(tx, id, wanted);
    return row === null ? refuse(NO_ACCOUNT) : answer(accountOf(row));
  });
}

/** A drained runner finishes what it runs and gets nothing new, also after a restart of anything. To take that back ends a quarantine, too. */
export function drainRunner(
  { sql }: Database,
  by: Operator,
  id: RunnerId,
  drained: boolean,
): Promise<Answer<{ readonly id: RunnerId; readonly drained: boolean }>> {
  return changing(sql, by, { act: "runner.drain", target: id, changes: { drained } }, async (tx) => {
    const known = await setDrained(tx, id, drained);
    if (!drained) await forgiveRunner(tx, id);
    return known ? answer({ id, drained }) : refuse({ code: "not_found", message: "No such runner." });
  });
}

export async function readLimits({ sql }: Database, defaults: SchedulerLimits): Promise<AdminLimits> {
  return limitsView(defaults, await limitOverrides(sql));
}

export function changeLimits(
  { sql }: Database,
  by: Operator,
  defaults: SchedulerLimits,
  wanted: z.infer<typeof PatchLimits>,
): Promise<Answer<AdminLimits>> {
  const changes = Object.entries(wanted).filter((entry): entry is [string, number | null] => entry[1] !== undefined);
  const act = { act: "limits.change", target: "scheduler", changes: Object.fromEntries(changes) };
  return changing(sql, by, act, async (tx) => {
    await saveLimits(tx, new Map(changes));
    return answer(limitsView(defaults, await limitOverrides(tx)));
  });
}

function limitsView(defaults: SchedulerLimits, overrides: ReadonlyMap<string, number>): AdminLimits {
  return { limits: limitsOnWire(limitsWith(defaults, overrides)), overrides: Object.fromEntries(overrides) };
}

/** The leader is told and the act recorded in the same transaction, so never what did not happen. */
export function changing<Value>(
  sql: Sql,
  by: Operator,
  act: AdminAct,
  work: (tx: Transaction) => Promise<Answer<Value>>,
): Promise<Answer<Value>> {
  return inTransaction(sql, async (tx) => {
    const result = await work(tx);
    if (!result.ok) return result;
    await postTermsChanged(tx);
    await record(tx, by, act);
    return result;
  });
}

function tierOf(row: TierRow): AdminTier {
  return {
    name: row.name,
    weight: row.weight,
    share_min: row.shareMin,
    share_max: row.shareMax,
    max_running: row.maxRunning,
    tier_max_running: row.tierMaxRunning,
    max_queued: row.maxQueued,
    creates_per_minute: row.createsPerMinute,
    creates_burst: row.createsBurst,
    reads_per_minute: row.readsPerMinute,
    reads_burst: row.readsBurst,
    start_bound_s: row.startBoundS,
    keep_video_hours: row.keepVideoHours,
    keep_draft_hours: row.keepDraftHours,
  };
}
