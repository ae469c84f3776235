/** The operator's moderation hook, as a real HTTP server: what it judges, what its verdicts do, and what happens without one. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { MODERATION_TRIES_MAX } from "#control-plane/core/moderation.ts";
import { ModerationHook } from "#control-plane/egress/moderation-hook.ts";
import { cancelVideo, deleteVideo } from "#control-plane/usecase/change-video.ts";
import { ASKED_AT_ONCE_MAX, Moderator } from "#control-plane/usecase/moderate-results.ts";
import { sweepResults } from "#control-plane/usecase/sweep-results.ts";
import { auditLedger } from "#control-plane/usecase/audit-ledger.ts";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import { submitJob } from "#control-plane/usecase/submit-job.ts";
import { CreateVideo } from "#protocol/create-video.ts";
import { RequestId } from "#protocol/id.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { randomBytes } from "node:crypto";
import { HookServer } from "#tests/support/hook-server.ts";
import { aCreateKey, anArtifact, sha256, Studio, TINY } from "#tests/support/studio.ts";

let studio: Studio;
let server: HookServer;
let hook: ModerationHook;
let failures: string[];
beforeAll(async () => {
  studio = await Studio.open();
  server = await HookServer.open();
  hook = new ModerationHook({
    url: server.url,
    secret: server.secret,
    mintId: () => `mod_${randomBytes(8).toString("hex")}`,
    now: Date.now,
    failed: (what, error) => void failures.push(`${what}: ${String(error)}`),
  });
  failures = [];
});
afterEach(() => server.reset());
afterAll(async () => {
  await server.close();
  await studio.close();
});

const ALLOW = { allowed: true, policy: "2026-11" };
const BLOCK = { allowed: false, policy: "2026-11", reason: "violence" };
const PRICE = 250n;

interface SubmitChange {
  readonly keep?: () => Promise<void>;
  readonly createKey?: ReturnType<typeof aCreateKey>;
}

function submit(account: AccountId, { keep, createKey = aCreateKey() }: SubmitChange = {}) {
  return submitJob(studio.sql, {
    account,
    requestId: RequestId.parse(`req_${randomBytes(16).toString("hex")}`),
    submit: { create_key: createKey, video: CreateVideo.parse({ ...TINY, negative_prompt: "no dogs" }) },
    reference: keep === undefined ? null : { sha256: sha256("e"), mediaType: "image/png", keep },
    seed: 7,
    loadOf: () => ({ queued: 0, queuedGpuS: 0, queuedGpuSMax: 1, predictedStartS: null, predictedStartP90S: null }),
    judge: (prompt) => hook.judgePrompt(prompt),
  });
}

async function rowsOf(account: AccountId) {
  const [row] = await studio.sql<{ jobs: number; holds: number; entries: number }[]>`
    select (select count(*)::int from job where account_id = ${account}) as jobs,
      (select count(*)::int from credit_hold where account_id = ${account}) as holds,
      (select count(*)::int from credit_entry where account_id = ${account} and kind = 'held') as entries`;
  return row;
}

/** Rendered and withheld. */
async function aWithheldVideo(): Promise<{ readonly account: AccountId; readonly id: VideoId; readonly key: string }> {
  const account = await studio.account("pro", { amount: "100" });
  const job = await studio.submitted(account);
  const { job: started } = await studio.dispatched(job.id);
  const key = `jobs/${job.id}/${started.epoch}/a.mp4`;
  const event = {
    kind: "finished",
    epoch: started.epoch,
    artifact: anArtifact(),
    artifactKey: key,
    review: true,
  } as const;
  expect(await recordEnd(studio.sql, { job: job.id, epoch: started.epoch }, event)).toMatchObject({ ok: true });
  return { account, id: job.id, key };
}

/** One turn of the leader's loop, to its last verdict. */
async function moderate(leaderEpoch?: number): Promise<readonly unknown[]> {
  const errors: unknown[] = [];
  const moderator = new Moderator(studio.sql, {
    leaderEpoch: leaderEpoch ?? (await studio.leaderEpoch()),
    judge: (result) => hook.judgeResult(result),
    urlOf: (key) => `http://store.test/${key}`,
    moved: () => undefined,
    unrecorded: (_job, error) => void errors.push(error),
  });
  await moderator.turn();
  await moderator.settled();
  return errors;
}

const due = (id: VideoId) => studio.sql`update job set moderate_at = now() - interval '1 second' where id = ${id}`;

test("a prompt is judged with all that it says before anything is stored, and the version of the policy is kept", async () => {
  const account = await studio.account("pro", { amount: "100" });
  let stored = 0;
  server.answer = () => {
    expect(stored).toBe(0);
    return { json: ALLOW };
  };
  const submitted = await submit(account, { keep: async () => void stored++ });
  if (!submitted.ok) throw new Error(submitted.refusal.message);
  expect(stored).toBe(1);
  expect((await studio.job(submitted.job.id)).promptPolicy).toBe("2026-11");
  expect(server.asked).toEqual([
    {
      type: "moderation.prompt",
      data: {
        account_id: account,
        model: "reference",
        prompt: TINY.prompt,
        negative_prompt: "no dogs",
        reference: { sha256: sha256("e"), media_type: "image/png" },
      },
    },
  ]);
});

test("a prompt that is refused stores and holds nothing", async () => {
  const account = await studio.account("pro", { amount: "100" });
  server.answer = () => ({ json: BLOCK });
  let stored = 0;
  const refused = await submit(account, { keep: async () => void stored++ });
  expect(refused).toMatchObject({ ok: false, refusal: { code: "content_policy_violation", param: "prompt" } });
  expect([stored, await rowsOf(account)]).toEqual([0, { jobs: 0, holds: 0, entries: 0 }]);
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: 0n });
});

test("a create that is repeated is not judged again, and one that cannot be paid is not judged at all", async () => {
  const [rich, poor] = [await studio.account("pro", { amount: "100" }), await studio.account("pro")];
  const createKey = aCreateKey();
  server.answer = () => ({ json: ALLOW });
  expect(await submit(rich, { createKey })).toMatchObject({ ok: true, repeated: false });
  expect(await submit(rich, { createKey })).toMatchObject({ ok: true, repeated: true });
  expect(await submit(poor)).toMatchObject({ ok: false, refusal: { code: "insufficient_credits" } });
  expect(server.asked).toHaveLength(1);
});

/** Everything that is not a verdict. */
const NO_VERDICTS: readonly (readonly [string, HookServer["answer"]])[] = [
  ["nobody listens", () => "hang up"],
  ["an error", () => ({ status: 500, json: ALLOW })],
  ["another success", () => ({ status: 201, json: ALLOW })],
  ["a redirect to a verdict", () => ({ status: 307, headers: { location: "/elsewhere" }, json: ALLOW })],
  ["no JSON", () => ({ text: "allowed" })],
  ["a verdict without a policy", () => ({ json: { allowed: true } })],
  ["a verdict of another type", () => ({ json: { allowed: "true", policy: "1" } })],
  ["a policy that is a story", () => ({ json: { allowed: true, policy: "x".repeat(65) } })],
  ["a reason with a line feed", () => ({ json: { ...BLOCK, reason: "a\nb" } })],
  ["an endless answer", () => "endless"],
];

test.each(NO_VERDICTS)("%s is no verdict: the prompt is not accepted and nothing is stored", async (_what, answer) => {
  const account = await studio.account("pro", { amount: "100" });
  server.answer = answer;
  const refused = await submit(account);
  expect(refused).toMatchObject({ ok: false, refusal: { code: "service_unavailable" } });
  expect(await rowsOf(account)).toEqual({ jobs: 0, holds: 0, entries: 0 });
  // Why is told to the operator, without what was judged.
  expect(failures.splice(0).join()).not.toContain(TINY.prompt);
});

test.each(NO_VERDICTS)(
  "%s is no verdict: the result stays withheld and is asked about again",
  async (_what, answer) => {
    const { id } = await aWithheldVideo();
    server.answer = answer;
    const { moderateAt: askedAt } = await studio.job(id);
    expect(await moderate()).toEqual([]);
    const job = await studio.job(id);
    expect([job.state, job.moderationTries]).toEqual(["moderating", 1]);
    expect(Number(job.moderateAt) - Number(askedAt)).toBeGreaterThanOrEqual(1_000);
    server.answer = () => ({ json: BLOCK });
    await due(id);
    await moderate();
  },
);

test("a rendered result leaves its devices and is shown to nobody before its verdict", async () => {
  const { account, id } = await aWithheldVideo();
  const job = await studio.job(id);
  expect([job.state, job.runnerId, job.finishedAt, job.stepsDone]).toEqual(["moderating", null, null, job.steps]);
  expect(await studio.sql`select 1 from device_claim where job_id = ${id}`).toHaveLength(0);
  expect(await studio.eventTypes(account)).not.toContain("video.completed");
  expect(await studio.purse(account)).toEqual({ held: PRICE, consumed: 0n });
  server.answer = () => ({ json: ALLOW });
  await moderate();
});

test("a result that is allowed is completed, charged once and told, and the hook saw the file's URL and hash", async () => {
  const { account, id, key } = await aWithheldVideo();
  server.answer = () => ({ json: ALLOW });
  await moderate();
  expect(await studio.job(id)).toMatchObject({ state: "completed", resultPolicy: "2026-11", moderateAt: null });
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: PRICE });
  expect((await studio.eventTypes(account)).filter((type) => type === "video.completed")).toHaveLength(1);
  expect(server.asked).toEqual([
    {
      type: "moderation.result",
      data: {
        video_id: id,
        account_id: account,
        prompt: TINY.prompt,
        sha256: anArtifact().sha256,
        bytes: 1_000,
        media_type: "video/mp4",
        url: `http://store.test/${key}`,
      },
    },
  ]);
});

test("a result that is withheld for good costs nothing, says why, and its file is removed", async () => {
  const { account, id, key } = await aWithheldVideo();
  server.answer = () => ({ json: BLOCK });
  await moderate();
  const job = await studio.job(id);
  expect([job.state, job.errorCode, job.errorFault, job.resultPolicy]).toEqual([
    "failed",
    "content_policy_violation",
    "user",
    "2026-11",
  ]);
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: 0n });
  expect((await studio.eventTypes(account)).at(-1)).toBe("video.failed");
  // The file goes first, and a crash in between only makes it go again.
  const removed: string[] = [];
  const store = { remove: async (name: string) => void removed.push(name) } as never;
  await sweepResults(studio.sql, store);
  await sweepResults(studio.sql, store);
  expect(removed.filter((name) => name === key)).toEqual([key]);
  expect(await studio.job(id)).toMatchObject({
    artifactKey: null,
    artifactSha256: null,
    errorCode: "content_policy_violation",
  });
});

test("a hook that stays away fails the video closed after its tries: nothing is charged and nothing was shown", async () => {
  const { account, id } = await aWithheldVideo();
  server.answer = () => "hang up";
  for (let tries = 1; tries <= MODERATION_TRIES_MAX; tries++) {
    expect((await studio.job(id)).state).toBe("moderating");
    await due(id);
    await moderate();
  }
  expect(await studio.job(id)).toMatchObject({
    state: "failed",
    errorCode: "moderation_unavailable",
    errorFault: "platform",
  });
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: 0n });
  expect(await studio.eventTypes(account)).not.toContain("video.completed");
});

test("a leader that dies while it asks loses nothing: the next one asks, and the late verdict of the first changes nothing", async () => {
  const { account, id } = await aWithheldVideo();
  const late = Promise.withResolvers<void>();
  const asked = Promise.withResolvers<void>();
  server.answer = async () => {
    asked.resolve();
    await late.promise;
    return { json: BLOCK };
  };
  const first = moderate();
  await asked.promise;
  server.answer = () => ({ json: ALLOW });
  expect(await moderate()).toEqual([]);
  expect((await studio.job(id)).state).toBe("completed");
  late.resolve();
  expect(await first).toEqual([]);
  expect((await studio.job(id)).state).toBe("completed");
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: PRICE });
});

test("a replica that leads no more cannot show a result", async () => {
  const { id } = await aWithheldVideo();
  server.answer = () => ({ json: ALLOW });
  const errors = await moderate((await studio.leaderEpoch()) - 1);
  expect(errors).toHaveLength(1);
  expect((await studio.job(id)).state).toBe("moderating");
  await moderate();
});

test("a cancel while its result is judged ends it, charged as rendered, and no verdict brings it back", async () => {
  const { account, id } = await aWithheldVideo();
  expect((await cancelVideo(studio.sql, account, id))?.job.state).toBe("cancelled");
  server.answer = () => ({ json: ALLOW });
  await moderate();
  expect((await studio.job(id)).state).toBe("cancelled");
  expect(await studio.purse(account)).toEqual({ held: 0n, consumed: PRICE });
  const deleted = await aWithheldVideo();
  await deleteVideo(studio.sql, deleted.account, deleted.id);
  expect(await studio.job(deleted.id)).toMatchObject({ state: "cancelled", artifactKey: deleted.key });
});

test("so many results are asked about at once, and no more", async () => {
  const ids = await Promise.all(Array.from({ length: ASKED_AT_ONCE_MAX + 3 }, async () => (await aWithheldVideo()).id));
  server.answer = () => ({ json: ALLOW });
  await moderate();
  const states = async () =>
    (await Promise.all(ids.map((id) => studio.job(id)))).filter(({ state }) => state === "completed");
  expect(await states()).toHaveLength(ASKED_AT_ONCE_MAX);
  await moderate();
  expect(await states()).toHaveLength(ids.length);
  expect((await auditLedger(studio.sql)).breaches).toEqual([]);
});
