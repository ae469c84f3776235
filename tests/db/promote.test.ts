/** Drafts and their rest: what each costs, what the rest goes on from, and for how long. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { auditLedger } from "#control-plane/usecase/audit-ledger.ts";
import { AdmissionOutlook } from "#control-plane/usecase/admission-outlook.ts";
import { cancelVideo, deleteVideo } from "#control-plane/usecase/change-video.ts";
import { promoteVideo } from "#control-plane/usecase/promote-video.ts";
import { readVideo } from "#control-plane/usecase/read-account.ts";
import { recordCheckpoint, recordEnd } from "#control-plane/usecase/record-run.ts";
import { submitJob } from "#control-plane/usecase/submit-job.ts";
import { sweepCheckpoints } from "#control-plane/usecase/sweep-checkpoints.ts";
import { videoOf, UNEXPLAINED } from "#control-plane/core/job-view.ts";
import { CreateVideo, PromoteVideo } from "#protocol/create-video.ts";
import { RequestId } from "#protocol/id.ts";
import type { AccountId, CreateKey, VideoId } from "#protocol/id.ts";
import type { LeaseRef } from "#protocol/runner.ts";
import { aCreateKey, anArtifact, sha256, Studio, TINY } from "#tests/support/studio.ts";

/** Of ten steps, which cost 250. */
const DRAFT_STEPS = 3;
let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

async function aDraft() {
  const account = await studio.account("pro", { amount: "100" });
  const draft = await studio.submitted(account, { ...TINY, draft: true, seed: 5, negative_prompt: "fog" });
  const { job } = await studio.dispatched(draft.id);
  return { account, draft, lease: { job: draft.id, epoch: job.epoch } };
}

async function aCompletedDraft(keeps = true) {
  const { account, draft, lease } = await aDraft();
  const file = keeps ? await saveAt(lease, DRAFT_STEPS) : null;
  await finish(lease);
  return { account, draft: await studio.job(draft.id), file };
}

async function saveAt(lease: LeaseRef, step: number): Promise<string> {
  const storeKey = `jobs/${lease.job}/${lease.epoch}/c${step}.safetensors`;
  const file = { storeKey, sha256: sha256("d"), bytes: 10, exactness: "exact" } as const;
  await recordCheckpoint(studio.sql, { lease, step, ...file });
  return storeKey;
}

function aRequestId(): RequestId {
  return RequestId.parse(`req_${randomBytes(16).toString("hex")}`);
}

function finish(lease: LeaseRef) {
  const artifactKey = `jobs/${lease.job}/${lease.epoch}/a.mp4`;
  const { epoch } = lease;
  return recordEnd(studio.sql, lease, { kind: "finished", epoch, artifact: anArtifact(), artifactKey });
}

async function promote(account: AccountId, source: VideoId, body: object = {}, createKey: CreateKey = aCreateKey()) {
  return promoteVideo(studio.sql, {
    account,
    requestId: aRequestId(),
    source,
    submit: { create_key: createKey, promote: PromoteVideo.parse(body) },
    seed: 99,
    loadOf: await new AdmissionOutlook(studio.sql, Date.now).read(),
  });
}

async function promoted(account: AccountId, source: VideoId) {
  const made = await promote(account, source);
  if (!made.ok) throw new Error(made.refusal.message);
  return made.job;
}

async function refusalOf(account: AccountId, source: VideoId): Promise<string> {
  const made = await promote(account, source);
  return made.ok ? "made" : made.refusal.code;
}

async function swept(): Promise<readonly string[]> {
  const removed: string[] = [];
  const store = { remove: async (key: string) => void removed.push(key) } as never;
  await sweepCheckpoints(studio.sql, store);
  await sweepCheckpoints(studio.sql, store);
  return removed;
}

async function expectSoundBooks(): Promise<void> {
  await auditLedger(studio.sql);
  expect(await studio.sql`select breaches from ledger_audit where breaches <> '[]'`).toEqual([]);
}

test("a draft is a quarter of the steps at their share of the price, and says until when it can be promoted", async () => {
  const { account, draft } = await aCompletedDraft();
  expect(draft).toMatchObject({ state: "completed", progress: 100, steps: 10, stopAfter: DRAFT_STEPS, price: 75n });
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: 75n });
  expect(Number(draft.promotableUntil) - Number(draft.finishedAt)).toBe(24 * 3_600_000);
  const seen = await readVideo(studio.sql, account, draft.id);
  if (seen === null) throw new Error("it is there");
  const { scheduler } = videoOf(seen.job, { ...seen.usage }, UNEXPLAINED);
  const until = Math.floor(Number(draft.promotableUntil) / 1_000);
  expect(scheduler.draft).toEqual({ steps: DRAFT_STEPS, of: 10, promotable_until: until });
});

test("its rest has the same picture, goes on from the draft's checkpoint, and costs what was left to pay", async () => {
  const { account, draft, file } = await aCompletedDraft();
  const rest = await promoted(account, draft.id);
  const { prompt, negativePrompt, size, seconds, steps, seed, fps, model } = draft;
  expect(rest).toMatchObject({ prompt, negativePrompt, size, seconds, steps, seed, fps, model, price: 175n });
  expect(rest).toMatchObject({ promotedFromVideoId: draft.id, firstStep: DRAFT_STEPS, stopAfter: null, stepsDone: 3 });
  const { job, checkpoint } = await studio.dispatched(rest.id);
  expect(checkpoint).toMatchObject({ step: DRAFT_STEPS, storeKey: file, writtenFor: draft.id });
  await finish({ job: rest.id, epoch: job.epoch });
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: 250n });
  await expectSoundBooks();
});

test("a rest that is cancelled pays for the steps that it did itself, and one that had to begin anew for none of the draft's", async () => {
  const { account, draft } = await aCompletedDraft();
  const cancelledAt = async (step: number) => {
    const rest = await promoted(account, draft.id);
    const { job } = await studio.dispatched(rest.id);
    const lease = { job: rest.id, epoch: job.epoch };
    await cancelVideo(studio.sql, account, rest.id);
    await recordEnd(studio.sql, lease, { kind: "stopped", epoch: job.epoch, why: "cancel", step });
    return (await readVideo(studio.sql, account, rest.id))?.usage.charged;
  };
  expect(await cancelledAt(5)).toBe(50n);
  expect(await cancelledAt(DRAFT_STEPS)).toBe(0n);
  await expectSoundBooks();
});

test("a draft's checkpoint that cannot be used, or never got into the store, costs nobody but the platform", async () => {
  const { account, draft } = await aCompletedDraft();
  const rest = await promoted(account, draft.id);
  const { job } = await studio.dispatched(rest.id);
  const error = { class: "retryable", code: "bad_checkpoint", detail: "other_build" } as const;
  await recordEnd(studio.sql, { job: rest.id, epoch: job.epoch }, { kind: "run_failed", epoch: job.epoch, error });
  expect(await studio.job(rest.id)).toMatchObject({ state: "retrying", stepsDone: 0 });
  expect((await studio.dispatched(rest.id)).checkpoint).toBeNull();
  // The draft's own is untouched.
  expect((await promoted(account, draft.id)).stepsDone).toBe(DRAFT_STEPS);

  const bare = await aCompletedDraft(false);
  const anew = await promoted(bare.account, bare.draft.id);
  expect([anew.price, anew.stepsDone]).toEqual([175n, 0]);
  expect((await studio.dispatched(anew.id)).checkpoint).toBeNull();
});

test("a draft that runs, a whole video, one whose time is over, a deleted and a foreign one cannot be promoted", async () => {
  const running = await aDraft();
  expect(await refusalOf(running.account, running.draft.id)).toBe("video_not_ready");
  const whole = await studio.submitted(running.account);
  const { job } = await studio.dispatched(whole.id);
  await finish({ job: whole.id, epoch: job.epoch });
  expect(await refusalOf(running.account, whole.id)).toBe("unsupported_operation");
  const { account, draft } = await aCompletedDraft();
  expect(await refusalOf(running.account, draft.id)).toBe("video_not_found");
  await studio.sql`update job set promotable_until = now() where id = ${draft.id}`;
  expect(await refusalOf(account, draft.id)).toBe("video_expired");
  const gone = await aCompletedDraft();
  await deleteVideo(studio.sql, gone.account, gone.draft.id);
  expect(await refusalOf(gone.account, gone.draft.id)).toBe("video_not_found");
});

test("a repeated promote is the same video, also when its draft's time ended in between", async () => {
  const { account, draft } = await aCompletedDraft();
  const key = aCreateKey();
  const first = await promote(account, draft.id, {}, key);
  await studio.sql`update job set promotable_until = now() where id = ${draft.id}`;
  const again = await promote(account, draft.id, {}, key);
  if (!first.ok || !again.ok) throw new Error("refused");
  expect([again.job.id, again.repeated]).toEqual([first.job.id, true]);
});

test("a promote that reaches the database after the draft was deleted writes nothing", async () => {
  const { account, draft } = await aCompletedDraft();
  await deleteVideo(studio.sql, account, draft.id);
  const late = await submitJob(studio.sql, {
    account,
    requestId: aRequestId(),
    submit: { create_key: aCreateKey(), video: CreateVideo.parse(TINY) },
    reference: null,
    promoteOf: { id: draft.id, terms: { stopAfter: DRAFT_STEPS, fps: draft.fps } },
    seed: 5,
    loadOf: await new AdmissionOutlook(studio.sql, Date.now).read(),
  });
  expect(late).toMatchObject({ ok: false, refusal: { code: "service_unavailable" } });
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: 75n });
});

test("a draft's file is kept until its time is over, and while somebody goes on from it; then it goes, once", async () => {
  const { account, draft, file } = await aCompletedDraft();
  expect(await swept()).not.toContain(file);
  const rest = await promoted(account, draft.id);
  await deleteVideo(studio.sql, account, draft.id);
  expect(await swept()).not.toContain(file);
  expect((await studio.dispatched(rest.id)).checkpoint?.storeKey).toBe(file);
  const { epoch } = await studio.job(rest.id);
  await finish({ job: rest.id, epoch });
  expect((await swept()).filter((key) => key === file)).toEqual([file]);

  const late = await aCompletedDraft();
  await studio.sql`update job set promotable_until = now() where id = ${late.draft.id}`;
  expect(await swept()).toEqual([late.file]);
});

test("a model whose engine keeps nothing, and a video of one step, make no draft", async () => {
  const account = await studio.account("pro", { amount: "100" });
  const one = await studio.submit(account, { ...TINY, steps: 1, draft: true });
  expect(one).toMatchObject({ ok: false, refusal: { code: "unsupported_operation", param: "draft" } });
  await studio.sql`update model set resume = 'none' where name = 'reference'`;
  const none = await studio.submit(account, { ...TINY, draft: true });
  await studio.sql`update model set resume = 'exact' where name = 'reference'`;
  expect(none).toMatchObject({ ok: false, refusal: { code: "unsupported_operation", param: "draft" } });
});

test("what a promote cannot change is refused by its name", () => {
  const refused = PromoteVideo.safeParse({ prompt: "another", seed: 4 });
  expect(refused.error?.issues[0]).toMatchObject({ code: "unrecognized_keys", keys: ["prompt", "seed"] });
});
