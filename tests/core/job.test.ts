import { expect, test } from "vitest";
import { PHASE_OF, step } from "#control-plane/core/job.ts";
import type { JobEvent, JobRecord } from "#control-plane/core/job.ts";
import { chargeFor } from "#control-plane/core/settlement.ts";
import { AccountId, CreateKey, DeviceId, RunnerId, Sha256Hex, VideoId } from "#protocol/id.ts";
import { GpuMillis, milliCredits } from "#protocol/unit.ts";
import { JobState } from "#protocol/video.ts";

const SHA = Sha256Hex.parse("a".repeat(64));
const ARTIFACT = { sha256: SHA, bytes: 10, latents_sha256: null, frames_sha256: null } as const;

function aJob(state: JobState, more: Partial<JobRecord> = {}): JobRecord {
  const leased = PHASE_OF[state] === "leased";
  return {
    id: VideoId.parse(`video_${"0".repeat(32)}`),
    accountId: AccountId.parse(`acct_${"0".repeat(16)}`),
    createKey: CreateKey.parse(`ck_${"0".repeat(16)}`),
    tier: "pro",
    model: "reference",
    class: "192p/1s",
    prompt: "x",
    negativePrompt: "",
    size: "320x192",
    fps: 24,
    seconds: 1,
    steps: 10,
    seed: 1n,
    metadata: {},
    referenceSha256: null,
    referenceMediaType: null,
    remixedFromVideoId: null,
    promotedFromVideoId: null,
    firstStep: 0,
    stopAfter: null,
    promotableUntil: null,
    startDeadlineAt: null,
    price: milliCredits(1_000n),
    gpuMs: GpuMillis.parse(200),
    state,
    progress: 0,
    stepsDone: 0,
    epoch: 3,
    attempts: 1,
    preemptions: 0,
    runnerDeaths: 0,
    engineFailures: 0,
    runAlone: false,
    progressEstimated: false,
    runnerId: leased ? RunnerId.parse("r") : null,
    devices: leased ? [DeviceId.parse("d")] : null,
    slot: null,
    leaseExpiresAt: leased ? new Date(1_000) : null,
    notBefore: null,
    avoidRunnerId: null,
    createdAt: new Date(0),
    startedAt: leased ? new Date(0) : null,
    finishedAt: null,
    deadlineAt: new Date(86_400_000),
    expiresAt: null,
    deletedAt: null,
    errorCode: null,
    errorMessage: null,
    errorFault: null,
    artifactKey: null,
    artifactSha256: null,
    artifactBytes: null,
    latentsSha256: null,
    framesSha256: null,
    artifactRemovedAt: null,
    promptPolicy: null,
    resultPolicy: null,
    moderateAt: state === "moderating" ? new Date(0) : null,
    moderationTries: 0,
    ...more,
  };
}

/** Nothing else broke lately. */
const QUIET = { broken: 0, dispatched: 100, perMinute: null };

const finished: JobEvent = { kind: "finished", epoch: 3, artifact: ARTIFACT, artifactKey: "jobs/a/3/a.mp4" };
const lost: JobEvent = { kind: "lost", epoch: 3, how: "died", aboard: 1 };
const stopped: JobEvent = { kind: "stopped", epoch: 3, why: "preempt", step: 4 };

test.each<[JobState, JobEvent, string]>([
  ["running", finished, "completed"],
  ["cancelling", finished, "completed"],
  ["running", lost, "retrying"],
  ["running", { kind: "lost", epoch: 3, how: "not_taken" }, "retrying"],
  ["cancelling", lost, "cancelled"],
  ["running", stopped, "preempted"],
  ["running", { ...stopped, why: "drain" }, "retrying"],
  ["cancelling", { ...stopped, why: "cancel" }, "cancelled"],
  ["queued", { kind: "cancel_requested" }, "cancelled"],
  ["preempted", { kind: "cancel_requested" }, "cancelled"],
  ["running", { kind: "cancel_requested" }, "cancelling"],
  ["queued", { kind: "deadline_passed", which: "total" }, "failed"],
  ["running", { kind: "run_failed", epoch: 3, error: { class: "user", code: "bad_shape", detail: "" } }, "failed"],
  ["running", { kind: "run_failed", epoch: 3, error: { class: "retryable", code: "network", detail: "" } }, "retrying"],
  [
    "running",
    { kind: "run_failed", epoch: 3, error: { class: "capacity", code: "oom_denoise", detail: "" } },
    "retrying",
  ],
])("a %s job that meets %j becomes %s", (state, event, to) => {
  expect(step(aJob(state), event, QUIET)).toMatchObject({ ok: true, change: { to } });
});

test("a job that its runner refused waits a moment, so that no runner is asked for it many times a second", () => {
  const refused = { kind: "lost", epoch: 3, how: "not_taken", refused: true } as const;
  expect(step(aJob("starting"), refused, QUIET)).toMatchObject({ change: { to: "retrying", delayMs: 500 } });
  expect(step(aJob("starting"), { ...refused, refused: false }, QUIET)).toMatchObject({ change: { delayMs: 0 } });
});

test.each(JobState.options)("an event of another lease is refused for a %s job", (state) => {
  for (const epoch of [2, 4]) {
    for (const event of [finished, lost, stopped]) {
      expect(step(aJob(state), { ...event, epoch }, QUIET).ok).toBe(false);
    }
  }
});

test.each(["completed", "failed", "cancelled"] as const)("nothing moves a %s job any more", (state) => {
  for (const event of [
    finished,
    lost,
    stopped,
    { kind: "cancel_requested" },
    { kind: "deadline_passed", which: "total" },
  ] as const) {
    expect(step(aJob(state), event, QUIET)).toEqual({ ok: false, refusal: "ended" });
  }
});

test("a cancel is charged by its done steps, rounded down", () => {
  expect(chargeFor(milliCredits(100n), 1, 3)).toBe(33n);
  expect(chargeFor(milliCredits(100n), 0, 3)).toBe(0n);
  expect(chargeFor(milliCredits(100n), 3, 3)).toBe(100n);
});
