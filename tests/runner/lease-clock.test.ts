/**
 * A lease ends by the runner's own clock, whatever comes first after it ran out: a tick, a frame, the engine, a new line.
 */
import { describe, expect, test } from "vitest";
import type { Effect } from "#gpu-runner/core/attempt.ts";
import { VideoId } from "#protocol/id.ts";
import { HEARTBEAT_MS, LEASE_MS, type ToRunner } from "#protocol/runner.ts";
import { ARTIFACT, CHECKPOINT, DEVICE, kinds, LEASE, OTHER_SHA, sent, SHA, Stage, working } from "./stage.ts";
import { JOB } from "./reference-job.ts";

const hear = (frame: ToRunner) => (stage: Stage) => stage.hear(frame);
const assign = (epoch: number) => (stage: Stage) => stage.assign({ job: JOB, epoch });

/** The attempt has a checkpoint that waits for its URL, and an engine at work. */
function asking(): Stage {
  const stage = working();
  stage.engine(CHECKPOINT);
  return stage;
}

function finished(): Stage {
  const stage = working();
  stage.engine({ t: "artifact", path: "/v", artifact: ARTIFACT });
  stage.hear({ t: "upload_url", lease: LEASE, kind: "artifact", sha256: OTHER_SHA, url: "u" });
  return stage;
}

const FIRST_AFTER_WAKING: readonly (readonly [string, () => Stage, (stage: Stage) => readonly Effect[]])[] = [
  ["a step of the engine", working, (stage) => stage.engine({ t: "step", stage: "denoise", done: 1, of: 8, ms: 1 })],
  ["a stage of the engine", working, (stage) => stage.engine({ t: "stage", stage: "decode" })],
  ["a checkpoint", working, (stage) => stage.engine(CHECKPOINT)],
  ["a finished video", working, (stage) => stage.engine({ t: "artifact", path: "/v", artifact: ARTIFACT })],
  [
    "a dead engine",
    working,
    (stage) => stage.engine({ t: "failed", error: { class: "engine_fatal", code: "exited", detail: "" } }),
  ],
  ["a URL to upload to", asking, hear({ t: "upload_url", lease: LEASE, kind: "checkpoint", sha256: SHA, url: "u" })],
  [
    "the end of an upload",
    finished,
    (stage) => stage.feed({ t: "uploaded", lease: LEASE, sha256: OTHER_SHA, failure: null }),
  ],
  [
    "an upload that failed",
    finished,
    (stage) => stage.feed({ t: "uploaded", lease: LEASE, sha256: SHA, failure: { code: "upload_failed", detail: "" } }),
  ],
  ["an order to stop", working, hear({ t: "stop", lease: LEASE, why: "preempt", deadline_ms: 1_000 })],
  ["a renewal that came too late", working, hear({ t: "renewed", beat: 1, leases: [LEASE], lease_ms: LEASE_MS })],
  ["a tick", working, (stage) => stage.feed({ t: "tick" })],
];

describe("the first thing that a runner does after its lease ran out", () => {
  test.each(FIRST_AFTER_WAKING)("is to end the attempt, when %s comes first", (_what, before, first) => {
    const stage = before();
    stage.feed({ t: "closed" });
    stage.connect();
    stage.nowMs = LEASE_MS;
    const effects = first(stage);
    expect(kinds(effects).slice(0, 2)).toEqual(["*kill", "*forget"]);
    expect(sent(effects).filter((frame) => "lease" in frame || frame.t === "heartbeat")).toMatchObject(
      kinds(effects).includes("heartbeat") ? [{ t: "heartbeat", leases: [] }] : [],
    );
    expect(kinds(effects)).not.toContain("*upload");
    expect(stage.session.attempts).toEqual([]);
  });

  test("is to end the attempt, when a new line opens first: its hello does not name the lease", () => {
    const stage = working();
    stage.feed({ t: "closed" });
    stage.nowMs = LEASE_MS;
    const effects = stage.feed({ t: "opened" });
    expect(kinds(effects)).toEqual(["*kill", "*forget", "hello"]);
    expect(sent(effects)).toMatchObject([{ t: "hello", leases: [] }]);
  });

  test("is to end the attempt, when a late welcome comes first: nothing of it is said again", () => {
    const stage = finished();
    stage.feed({ t: "uploaded", lease: LEASE, sha256: OTHER_SHA, failure: null });
    stage.feed({ t: "closed" });
    stage.feed({ t: "opened" });
    stage.nowMs = LEASE_MS;
    const effects = stage.hear({ t: "welcome", lease_ms: LEASE_MS, heartbeat_ms: HEARTBEAT_MS });
    expect(sent(effects)).toMatchObject([{ t: "heartbeat", leases: [] }]);
  });

  test("is to end the attempt, when a copy of its assign comes first: that is refused, never run again", () => {
    const stage = working();
    stage.nowMs = LEASE_MS;
    expect(kinds(assign(1)(stage))).toEqual(["*kill", "*forget", "refused"]);
  });

  test("is to make room, when other work comes first", () => {
    const stage = working();
    stage.nowMs = LEASE_MS;
    expect(kinds(assign(2)(stage))).toEqual(["*kill", "*forget", "accepted", "*run"]);
  });

  test("is to end the attempt even while it drains, and then to leave", () => {
    const stage = working();
    stage.feed({ t: "drain", withinMs: 60_000 });
    stage.nowMs = LEASE_MS;
    expect(kinds(stage.engine({ t: "stopped", step: 3 }))).toEqual(["*kill", "*forget", "*exit"]);
  });
});

test("only the lease that ran out ends; the others go on", () => {
  const stage = new Stage([{ id: DEVICE, gpu: "CPU", vram_bytes: 1, slots: 2 }]);
  stage.connect();
  stage.assign();
  stage.nowMs = 4_000;
  const younger = { job: VideoId.parse(`video_${"b".repeat(32)}`), epoch: 1 };
  stage.assign(younger);
  stage.nowMs = LEASE_MS;
  const step = { t: "step", stage: "denoise", done: 1, of: 8, ms: 1 } as const;
  expect(kinds(stage.engine(step, younger))).toEqual(["*kill", "*forget", "step"]);
});
