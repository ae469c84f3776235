/** As `control-plane/db/submit.ts`: the statement runs whole under the account's lock. */
import type { JobRecord } from "#control-plane/core/job.ts";
import type { NewJob, Standing } from "#control-plane/db/submit.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import type { AccountId, CreateKey, RequestId } from "#protocol/id.ts";
import { VideoId } from "#protocol/id.ts";
import { milliCredits } from "#protocol/unit.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import { statement } from "../postgres/client.ts";
import { freshId, tables } from "../postgres/here.ts";
import type { CheckpointRow, GrantRow } from "../postgres/tables.ts";
import type { Tx } from "../postgres/tx.ts";
import { append } from "./events.ts";
import { standingKey } from "./idempotency.ts";
import { moveBooks, writeEntry } from "./ledger.ts";

const WAITING: ReadonlySet<string> = new Set(["queued", "preempted", "retrying"]);

export function jobOfCreateKey(sql: Sql, account: AccountId, key: CreateKey): Promise<JobRecord | null> {
  return statement(sql, "jobOfCreateKey", (on) => {
    const id = on.get(tables().createKey, `${account}/${key}`);
    return id === null ? null : on.get(tables().job, id);
  });
}

export function claimNonce(sql: Sql, requestId: RequestId): Promise<boolean> {
  return statement(sql, "claimNonce", (on) => insertNonce(on, requestId));
}

function insertNonce(on: Tx, requestId: RequestId): boolean {
  on.lock(tables().nonce, requestId);
  if (on.get(tables().nonce, requestId) !== null) return false;
  on.put(tables().nonce, requestId, on.now);
  return true;
}

function waitingOf(on: Tx, account: AccountId): number {
  return [...on.rows(tables().job)].filter((row) => row.accountId === account && WAITING.has(row.state)).length;
}

function runningOf(on: Tx, account: AccountId): number {
  return [...on.rows(tables().job)].filter((row) => row.accountId === account && row.runnerId !== null).length;
}

function spendableOf(on: Tx, account: AccountId, at: Date): readonly GrantRow[] {
  return [...on.rows(tables().grant)]
    .filter((row) => row.accountId === account && row.available > 0n && row.effectiveAt <= at)
    .filter((row) => row.expiresAt === null || row.expiresAt > at)
    .sort((a, b) => a.priority - b.priority || Number(a.effectiveAt) - Number(b.effectiveAt) || (a.id < b.id ? -1 : 1));
}

export function standingOf(
  sql: Sql,
  account: AccountId,
  call: { readonly requestId: RequestId; readonly createKey: CreateKey } | null,
): Promise<Standing | null> {
  return statement(sql, "standingOf", (on): Standing | null => {
    const { account: accounts, tier: tiers, nonce, createKey } = tables();
    const tier = tiers.get(on.get(accounts, account)?.tier ?? "");
    if (tier === null) return null;
    return {
      tier: tier.name,
      maxQueued: tier.maxQueued,
      startBoundS: tier.startBoundS,
      waiting: waitingOf(on, account),
      full: runningOf(on, account) >= tier.maxRunning,
      available: spendableOf(on, account, on.now).reduce((sum, { available }) => sum + available, 0n),
      sound: true,
      replayed: call !== null && on.get(nonce, call.requestId) !== null,
      created: call !== null && on.get(createKey, `${account}/${call.createKey}`) !== null,
    };
  });
}

export function insertJob(sql: Sql, wanted: NewJob): Promise<JobRecord | null> {
  return statement(sql, "insertJob", (on): JobRecord | null => {
    const { account: accounts, tier: tiers, job, createKey, idempotencyKey, hold, inbox } = tables();
    const { account, terms, claim } = wanted;
    on.lock(accounts, account);
    on.nextSnapshot();
    const at = on.clock();
    const tier = tiers.get(wanted.tier);
    if (tier === null || on.get(accounts, account)?.tier !== tier.name) return null;
    if (on.get(createKey, `${account}/${wanted.createKey}`) !== null) return null;
    if (claim !== null && standingKey(on, account, claim.key_sha256, at) !== null) return null;
    if (wanted.promoteOf !== null && !isKeptDraft(on, wanted.promoteOf, at)) return null;
    if (waitingOf(on, account) >= tier.maxQueued) return null;
    const spendable = spendableOf(on, account, at);
    if (spendable.reduce((sum, { available }) => sum + available, 0n) < terms.price) return null;
    if (!insertNonce(on, wanted.requestId)) return null;
    const id = VideoId.parse(`video_${freshId()}`);
    const kept = keptOf(on, wanted);
    const row = { ...newJobRow(id, wanted, at), stepsDone: kept?.step ?? 0 };
    on.insert(createKey, `${account}/${wanted.createKey}`, id);
    on.insert(job, id, row);
    if (kept !== null) {
      on.insert(tables().checkpoint, `${id}/0/${kept.step}`, { ...kept, jobId: id, epoch: 0 });
    }
    if (claim !== null) {
      const { key_sha256: key, fingerprint } = claim;
      on.put(idempotencyKey, `${account}/${key}`, { fingerprint, jobId: id, createdAt: at });
    }
    const settled = { captured: 0n, released: 0n, refunded: 0n };
    on.insert(hold, id, { jobId: id, accountId: account, amount: terms.price, ...settled, state: "open" });
    pin(on, id, spendable, wanted, at);
    const mail = tables().nextId();
    on.insert(inbox, String(mail), { id: mail, jobId: id });
    append(on, account, { type: "video.queued", data: { ...wanted.event, id } });
    return row;
  });
}

function isKeptDraft(on: Tx, id: VideoId, at: Date): boolean {
  const draft = on.get(tables().job, id);
  return draft !== null && draft.deletedAt === null && draft.promotableUntil !== null && draft.promotableUntil > at;
}

/** What the draft left: its newest checkpoint that can be used. */
function keptOf(on: Tx, { promoteOf, terms }: NewJob): CheckpointRow | null {
  const kept = [...on.rows(tables().checkpoint)].filter(
    (row) => row.jobId === promoteOf && !row.unusable && row.step <= terms.firstStep,
  );
  return kept.sort((a, b) => b.step - a.step || b.epoch - a.epoch)[0] ?? null;
}

function pin(on: Tx, id: VideoId, spendable: readonly GrantRow[], { account, terms }: NewJob, at: Date): void {
  let left: bigint = terms.price;
  let available = [...on.rows(tables().grant)].reduce(
    (sum, row) => (row.accountId === account ? sum + row.available : sum),
    0n,
  );
  spendable.forEach((grant, rank) => {
    const amount = grant.available < left ? grant.available : milliCredits(left);
    if (amount === 0n) return;
    left -= amount;
    available -= amount;
    moveBooks(on, grant.id, { from: "available", to: "held", amount });
    on.insert(tables().lot, `${id}/${grant.id}`, {
      jobId: id,
      grantId: grant.id,
      rank: rank + 1,
      amount,
      captured: 0n,
    });
    const books = { kind: "held", from: "available", to: "held" } as const;
    writeEntry(on, { account, grantId: grant.id, job: id, ...books, amount, available, at });
  });
}

function newJobRow(id: VideoId, wanted: NewJob, at: Date): JobRow {
  const { terms } = wanted;
  return {
    id,
    accountId: wanted.account,
    createKey: wanted.createKey,
    tier: wanted.tier,
    model: terms.model,
    class: terms.class,
    prompt: wanted.prompt,
    negativePrompt: wanted.negativePrompt,
    size: terms.size,
    fps: terms.fps,
    seconds: terms.seconds,
    steps: terms.steps,
    seed: BigInt(terms.seed),
    metadata: wanted.metadata,
    referenceSha256: null,
    referenceMediaType: null,
    remixedFromVideoId: wanted.remixOf,
    promotedFromVideoId: wanted.promoteOf,
    firstStep: terms.firstStep,
    stopAfter: terms.stopAfter,
    promotableUntil: null,
    price: terms.price,
    gpuMs: terms.gpuMs,
    state: "queued",
    progress: 0,
    stepsDone: 0,
    epoch: 0,
    attempts: 0,
    preemptions: 0,
    runnerDeaths: 0,
    engineFailures: 0,
    runAlone: false,
    progressEstimated: false,
    runnerId: null,
    devices: null,
    slot: null,
    leaseExpiresAt: null,
    notBefore: null,
    avoidRunnerId: null,
    createdAt: at,
    startedAt: null,
    finishedAt: null,
    startDeadlineAt: wanted.startDeadlineS === null ? null : new Date(at.getTime() + wanted.startDeadlineS * 1_000),
    deadlineAt: new Date(at.getTime() + wanted.deadlineS * 1_000),
    expiresAt: null,
    deletedAt: null,
    errorCode: null,
    errorMessage: null,
    errorFault: null,
    artifactKey: null,
    artifactRemovedAt: null,
    artifactSha256: null,
    artifactBytes: null,
    latentsSha256: null,
    framesSha256: null,
    promptPolicy: wanted.promptPolicy ?? null,
    resultPolicy: null,
    moderateAt: null,
    moderationTries: 0,
  };
}

export function forgetNonces(sql: Sql, olderThanMs: number): Promise<void> {
  return statement(sql, "forgetNonces", (on) => {
    const { nonce } = tables();
    const before = on.now.getTime() - olderThanMs;
    for (const [key, at] of on.entries(nonce)) if (at.getTime() < before) on.put(nonce, key, null);
  });
}
