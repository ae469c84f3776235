import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Effect, type EngineReport, UPLOAD_ASKS_MAX } from "#gpu-runner/core/attempt.ts";
import { type Input, type Session, UNANSWERED_BEATS_MAX } from "#gpu-runner/core/session.ts";
import { DeviceId, VideoId } from "#protocol/id.ts";
import { FromRunner, HEARTBEAT_MS, LEASE_MS, leaseName } from "#protocol/runner.ts";
import type { ToRunner } from "#protocol/runner.ts";
import { invariant } from "#protocol/invariant.ts";
import { aSpec, JOB } from "./reference-job.ts";
import { ARTIFACT, CHECKPOINT, DEVICE, kinds, LEASE, OTHER_SHA, sent, SHA, Stage, working } from "./stage.ts";

const OTHER_JOB = VideoId.parse(`video_${"b".repeat(32)}`);

describe("taking work", () => {
  test("an assigned job is accepted and runs; the same assign again does not run it twice", () => {
    const stage = new Stage();
    expect(kinds(stage.connect())).toEqual(["hello", "heartbeat"]);
    expect(kinds(stage.assign())).toEqual(["accepted", "*run"]);
    expect(kinds(stage.assign())).toEqual(["accepted"]);
  });

  test("a second job for a busy device is refused, and so is a model nobody has", () => {
    const stage = working();
    const other = { job: OTHER_JOB, epoch: 1 };
    expect(sent(stage.assign(other))[0]).toEqual({ t: "refused", lease: other, reason: "busy" });
    const alien: ToRunner = {
      t: "assign",
      lease: { ...other, epoch: 2 },
      devices: [DEVICE],
      lease_ms: 1,
      spec: aSpec({ model: "x" }),
      resume: null,
    };
    expect(sent(stage.hear(alien))).toMatchObject([{ t: "refused", lease: { epoch: 2 }, reason: "unknown_model" }]);
  });

  test("a runner without room for what it is given says at once what it holds, so that what is over is cleared", () => {
    const stage = working();
    const [, beat] = sent(stage.assign({ ...LEASE, job: OTHER_JOB }));
    expect(beat).toMatchObject({ t: "heartbeat", leases: [LEASE] });
    stage.hear({ t: "stale", lease: LEASE });
    expect(kinds(stage.assign({ job: OTHER_JOB, epoch: 2 }))).toContain("accepted");
  });

  test("a newer epoch of the same job ends the older attempt first", () => {
    const stage = working();
    expect(kinds(stage.assign({ job: JOB, epoch: 2 }))).toEqual(["*kill", "*forget", "accepted", "*run"]);
    expect(stage.session.attempts.map((attempt) => attempt.lease.epoch)).toEqual([2]);
  });

  test("a lease that ended here is not run again by a late copy of its assign", () => {
    const stage = working();
    stage.hear({ t: "stale", lease: LEASE });
    expect(kinds(stage.assign())).toEqual(["refused"]);
  });
});

describe("leases that are over", () => {
  test("a lease that was refused is not run by a late copy of its assign, though there is room by then", () => {
    const stage = working();
    const other = { job: OTHER_JOB, epoch: 3 };
    expect(kinds(stage.assign(other))).toEqual(["refused", "heartbeat"]);
    stage.hear({ t: "stale", lease: LEASE });
    expect(kinds(stage.assign(other))).toEqual(["refused"]);
    expect(kinds(stage.assign({ ...other, epoch: 4 }))).toEqual(["accepted", "*run"]);
  });

  test("a lease that is told to be over before its assign came is not run", () => {
    const stage = new Stage();
    stage.connect();
    stage.hear({ t: "stale", lease: LEASE });
    expect(kinds(stage.assign())).toEqual(["refused"]);
  });

  test("a lease older than one that ran here is not run", () => {
    const stage = new Stage();
    stage.connect();
    stage.assign({ job: JOB, epoch: 2 });
    stage.hear({ t: "stale", lease: { job: JOB, epoch: 2 } });
    expect(kinds(stage.assign())).toEqual(["refused"]);
  });

  test("a newer lease ends the older attempt even if a runner that drains refuses it", () => {
    const stage = working();
    stage.feed({ t: "drain", withinMs: 20_000 });
    expect(kinds(stage.assign({ job: JOB, epoch: 2 }))).toEqual(["*kill", "*forget", "refused", "*exit"]);
  });
});

describe("a device with two slots", () => {
  const nth = (n: number) => ({ job: VideoId.parse(`video_${String(n).repeat(32)}`), epoch: 1 });
  const [left, right] = [DEVICE, DeviceId.parse("cpu-1")];
  const shared = () => {
    const stage = new Stage([left, right].map((id) => ({ id, gpu: "CPU", vram_bytes: 1, slots: 2 })));
    stage.connect();
    return stage;
  };

  test("takes two jobs and refuses the third; one that has rendered makes room while it uploads", () => {
    const stage = shared();
    expect(kinds(stage.assign(nth(1)))).toEqual(["accepted", "*run"]);
    expect(kinds(stage.assign(nth(2)))).toEqual(["accepted", "*run"]);
    expect(sent(stage.assign(nth(3)))[0]).toEqual({ t: "refused", lease: nth(3), reason: "busy" });
    stage.engine({ t: "artifact", path: "/v", artifact: ARTIFACT }, nth(1));
    expect(kinds(stage.assign({ ...nth(3), epoch: 2 }))).toEqual(["accepted", "*run"]);
  });

  test("takes no gang beside a job, and no job beside a gang", () => {
    const stage = shared();
    stage.assign(nth(1), [right]);
    expect(sent(stage.assign(nth(2), [left, right]))[0]).toMatchObject({ t: "refused", reason: "busy" });
    stage.hear({ t: "stale", lease: nth(1) });
    expect(kinds(stage.assign({ ...nth(2), epoch: 2 }, [left, right]))).toEqual(["accepted", "*run"]);
    expect(sent(stage.assign(nth(3), [left]))[0]).toMatchObject({ t: "refused", reason: "busy" });
  });
});

describe("reporting", () => {
  test("steps go out at once; while the line is down only the newest is kept", () => {
    const stage = working();
    const report = (done: number): EngineReport => ({ t: "step", stage: "denoise", done, of: 8, ms: 1 });
    expect(kinds(stage.engine(report(1)))).toEqual(["step"]);
    stage.feed({ t: "closed" });
    expect(stage.engine(report(2))).toEqual([]);
    expect(stage.engine(report(3))).toEqual([]);
    const again = sent(stage.connect());
    expect(again.filter((frame) => frame.t === "step")).toEqual([
      { t: "step", lease: LEASE, stage: "denoise", done: 3, of: 8, ms: 1 },
    ]);
    expect(again[0]).toMatchObject({ t: "hello", leases: [{ ...LEASE, devices: [DEVICE] }] });
  });

  test.each(["exact", "numerical"])(
    "an %s checkpoint is uploaded, announced, and repeated until recorded",
    (exactness) => {
      const stage = working();
      expect(kinds(stage.engine({ ...CHECKPOINT, exactness } as EngineReport))).toEqual(["upload"]);
      expect(kinds(stage.hear({ t: "upload_url", lease: LEASE, kind: "checkpoint", sha256: SHA, url: "u" }))).toEqual([
        "*upload",
      ]);
      const said = sent(stage.feed({ t: "uploaded", lease: LEASE, sha256: SHA, failure: null }));
      expect(said).toMatchObject([{ t: "checkpoint", step: 3, exactness }]);
      stage.feed({ t: "closed" });
      expect(kinds(stage.connect())).toContain("checkpoint");
      stage.hear({ t: "recorded", lease: LEASE, what: "checkpoint", sha256: SHA });
      stage.feed({ t: "closed" });
      expect(kinds(stage.connect())).not.toContain("checkpoint");
    },
  );

  test("a finished video is announced only after its upload, and repeated until recorded", () => {
    const stage = working();
    expect(kinds(stage.engine({ t: "artifact", path: "/v", artifact: ARTIFACT }))).toEqual(["stage", "upload"]);
    stage.hear({ t: "upload_url", lease: LEASE, kind: "artifact", sha256: OTHER_SHA, url: "u" });
    expect(kinds(stage.feed({ t: "uploaded", lease: LEASE, sha256: OTHER_SHA, failure: null }))).toEqual(["finished"]);
    stage.feed({ t: "closed" });
    expect(kinds(stage.connect())).toContain("finished");
    expect(kinds(stage.hear({ t: "recorded", lease: LEASE, what: "finished", sha256: OTHER_SHA }))).toEqual([
      "*forget",
    ]);
    expect(stage.session.attempts).toEqual([]);
  });

  test("an upload that keeps failing asks for a new URL a few times, then fails the job as retryable", () => {
    const stage = working();
    let effects = stage.engine({ t: "artifact", path: "/v", artifact: ARTIFACT });
    for (let ask = 1; ask <= UPLOAD_ASKS_MAX; ask++) {
      expect(kinds(effects)).toContain("upload");
      stage.hear({ t: "upload_url", lease: LEASE, kind: "artifact", sha256: OTHER_SHA, url: "u" });
      effects = stage.feed({
        t: "uploaded",
        lease: LEASE,
        sha256: OTHER_SHA,
        failure: { code: "upload_failed", detail: "answered 503" },
      });
    }
    expect(sent(effects)).toMatchObject([{ t: "failed", error: { class: "retryable", code: "upload_failed" } }]);
  });
});

describe("stopping", () => {
  test("a preempted attempt says so only after its checkpoint was recorded", () => {
    const stage = working();
    expect(kinds(stage.hear({ t: "stop", lease: LEASE, why: "preempt", deadline_ms: 1_000 }))).toEqual(["*stop"]);
    stage.engine(CHECKPOINT);
    expect(stage.engine({ t: "stopped", step: 3 })).toEqual([]);
    stage.hear({ t: "upload_url", lease: LEASE, kind: "checkpoint", sha256: SHA, url: "u" });
    stage.feed({ t: "uploaded", lease: LEASE, sha256: SHA, failure: null });
    expect(sent(stage.hear({ t: "recorded", lease: LEASE, what: "checkpoint", sha256: SHA }))).toEqual([
      { t: "stopped", lease: LEASE, why: "preempt", step: 3 },
    ]);
  });

  test("an engine that does not stop in time is killed", () => {
    const stage = working();
    stage.hear({ t: "stop", lease: LEASE, why: "cancel", deadline_ms: 1_000 });
    expect(stage.tickAt(999).filter((effect) => effect.t === "kill")).toEqual([]);
    expect(kinds(stage.tickAt(1_000))).toEqual(["*kill", "stopped"]);
  });

  test("draining refuses work, stops what runs, and exits when the last ending is recorded", () => {
    const stage = working();
    expect(kinds(stage.feed({ t: "drain", withinMs: 20_000 }))).toEqual(["draining", "*stop"]);
    const other = { job: VideoId.parse(`video_${"c".repeat(32)}`), epoch: 1 };
    expect(sent(stage.assign(other))).toMatchObject([{ t: "refused", reason: "draining" }]);
    expect(kinds(stage.tickAt(HEARTBEAT_MS))).toEqual(["heartbeat"]);
    expect(kinds(stage.engine({ t: "stopped", step: 0 }))).toEqual(["stopped"]);
    expect(kinds(stage.hear({ t: "recorded", lease: LEASE, what: "stopped", sha256: null }))).toEqual([
      "*forget",
      "*exit",
    ]);
  });

  test("draining ends at its deadline even if nothing answers", () => {
    const stage = working();
    stage.feed({ t: "drain", withinMs: 2_000 });
    expect(kinds(stage.tickAt(2_000))).toEqual(["*kill", "stopped", "*kill", "*exit"]);
  });
});

describe("leases", () => {
  test("run from when the heartbeat was sent, not from when its answer came", () => {
    const stage = working();
    stage.tickAt(HEARTBEAT_MS);
    stage.nowMs = 12_000;
    stage.hear({ t: "renewed", beat: 1, leases: [LEASE], lease_ms: LEASE_MS });
    expect(stage.session.attempts[0]?.leaseUntilMs).toBe(HEARTBEAT_MS + LEASE_MS);
  });

  test("are renewed by the answer to a beat once: a copy of it, or one from an earlier line, is to none", () => {
    const stage = working();
    stage.tickAt(HEARTBEAT_MS);
    const answer: ToRunner = { t: "renewed", beat: 1, leases: [LEASE], lease_ms: LEASE_MS };
    stage.hear(answer);
    stage.tickAt(2 * HEARTBEAT_MS);
    stage.hear(answer);
    stage.feed({ t: "closed" });
    stage.connect();
    stage.hear(answer);
    expect(stage.session.attempts[0]?.leaseUntilMs).toBe(HEARTBEAT_MS + LEASE_MS);
  });

  test("are renewed over a new line before anything is said again, which may be what the line is cut for", () => {
    const stage = working();
    stage.engine(CHECKPOINT);
    stage.feed({ t: "closed" });
    const said = kinds(stage.connect());
    expect(said.indexOf("heartbeat")).toBeLessThan(said.indexOf("upload"));
    expect(said).toContain("upload");
  });

  test("that run out end the attempt without a word", () => {
    const stage = working();
    stage.feed({ t: "closed" });
    expect(kinds(stage.tickAt(LEASE_MS - 1))).toEqual([]);
    expect(kinds(stage.tickAt(LEASE_MS))).toEqual(["*kill", "*forget"]);
    expect(kinds(stage.connect())).toEqual(["hello", "heartbeat"]);
  });

  test("that run out while beats stay unanswered make the runner say anew what it holds, so that no beat keeps them", () => {
    const stage = working();
    for (let beat = 1; beat * HEARTBEAT_MS < LEASE_MS; beat++) stage.tickAt(beat * HEARTBEAT_MS);
    expect(kinds(stage.tickAt(LEASE_MS)).slice(0, 3)).toEqual(["*kill", "*forget", "*redial"]);
    stage.feed({ t: "closed" });
    expect(sent(stage.feed({ t: "opened" }))).toMatchObject([{ t: "hello", leases: [] }]);
  });

  test("a hello over another socket changes nothing until its welcome; then beats of the old one are answered no more", () => {
    const stage = working();
    const [beat] = sent(stage.tickAt(HEARTBEAT_MS));
    expect(sent(stage.feed({ t: "opened" }))).toMatchObject([{ t: "hello", leases: [LEASE] }]);
    expect(sent(stage.engine({ t: "step", stage: "denoise", done: 1, of: 8, ms: 1 }))).toMatchObject([{ t: "step" }]);
    expect(kinds(stage.hear({ t: "welcome", lease_ms: LEASE_MS, heartbeat_ms: HEARTBEAT_MS }))).toContain("heartbeat");
    if (beat?.t !== "heartbeat") throw new Error("a tick after the heartbeat's time beats");
    stage.hear({ t: "renewed", beat: beat.beat, leases: [LEASE], lease_ms: LEASE_MS });
    expect(stage.session.attempts[0]?.leaseUntilMs).toBe(LEASE_MS);
  });

  test("a line on which heartbeats stay unanswered is dialled again", () => {
    const stage = new Stage();
    stage.connect();
    for (let beat = 1; beat < UNANSWERED_BEATS_MAX; beat++)
      expect(kinds(stage.tickAt(beat * HEARTBEAT_MS))).toEqual(["heartbeat"]);
    expect(kinds(stage.tickAt(UNANSWERED_BEATS_MAX * HEARTBEAT_MS))).toEqual(["*redial"]);
  });
});

const leases = fc.constantFrom(
  LEASE,
  { job: JOB, epoch: 2 },
  { job: VideoId.parse(`video_${"d".repeat(32)}`), epoch: 1 },
);
const inputs: fc.Arbitrary<Input | { readonly t: "wait"; readonly ms: number }> = fc.oneof(
  fc.constantFrom<Input>(
    { t: "opened" },
    { t: "closed" },
    { t: "tick" },
    { t: "frame", frame: { t: "welcome", lease_ms: LEASE_MS, heartbeat_ms: HEARTBEAT_MS } },
  ),
  fc.integer({ min: 1, max: 4_000 }).map((ms) => ({ t: "wait", ms }) as const),
  leases.chain((lease) =>
    fc.oneof(
      fc
        .constantFrom<EngineReport>(
          { t: "stage", stage: "denoise" },
          { t: "step", stage: "denoise", done: 1, of: 8, ms: 1 },
          CHECKPOINT,
          { t: "artifact", path: "/v", artifact: ARTIFACT },
          { t: "stopped", step: 1 },
          { t: "failed", error: { class: "engine_fatal", code: "exited", detail: "" } },
        )
        .map((report) => ({ t: "engine", lease, report }) as const),
      fc.constantFrom(SHA, OTHER_SHA).chain((sha256) =>
        fc.constantFrom<Input>(
          { t: "uploaded", lease, sha256, failure: null },
          { t: "uploaded", lease, sha256, failure: { code: "upload_failed", detail: "no" } },
          {
            t: "frame",
            frame: { t: "upload_url", lease, kind: sha256 === SHA ? "checkpoint" : "artifact", sha256, url: "u" },
          },
          { t: "frame", frame: { t: "recorded", lease, what: "checkpoint", sha256 } },
        ),
      ),
      fc
        .constantFrom<ToRunner>(
          { t: "assign", lease, devices: [DEVICE], lease_ms: LEASE_MS, spec: aSpec(), resume: null },
          { t: "stale", lease },
          { t: "renewed", beat: 1, leases: [lease], lease_ms: LEASE_MS },
          { t: "stop", lease, why: "preempt", deadline_ms: 1_000 },
          { t: "recorded", lease, what: "finished", sha256: OTHER_SHA },
          { t: "recorded", lease, what: "failed", sha256: null },
          { t: "recorded", lease, what: "stopped", sha256: null },
        )
        .map((frame) => ({ t: "frame", frame }) as const),
    ),
  ),
);

/** What must hold whatever comes, in whatever order. */
class Watch {
  readonly ran = new Set<string>();
  readonly over = new Set<string>();
  endings = new Map<string, FromRunner["t"]>();

  see(effects: readonly Effect[], session: Session): void {
    for (const effect of effects) {
      if (effect.t === "run") {
        invariant(!this.ran.has(leaseName(effect.lease)), "a lease ran twice");
        this.ran.add(leaseName(effect.lease));
      }
      if (effect.t === "forget") this.over.add(leaseName(effect.lease));
      if (effect.t === "upload") invariant(!this.over.has(leaseName(effect.lease)), "an ended lease uploads");
      if (effect.t !== "send") continue;
      invariant(FromRunner.safeParse(effect.frame).success, "a frame breaks the protocol");
      if (effect.frame.t === "refused" || !("lease" in effect.frame)) continue;
      const name = leaseName(effect.frame.lease);
      invariant(!this.over.has(name), "an ended lease speaks");
      const { t } = effect.frame;
      if (t !== "finished" && t !== "failed" && t !== "stopped") continue;
      invariant((this.endings.get(name) ?? t) === t, "a lease ends in two ways");
      this.endings.set(name, t);
    }
    const rendering = session.attempts.filter((attempt) => attempt.rendering).flatMap((attempt) => attempt.devices);
    invariant(new Set(rendering).size === rendering.length, "a device renders twice");
  }
}

test("in any order of events no lease runs twice, none speaks after its end, and an unrecorded ending is said again", () => {
  fc.assert(
    fc.property(fc.array(inputs, { minLength: 10, maxLength: 80 }), (script) => {
      const stage = new Stage();
      const watch = new Watch();
      watch.see([...stage.connect(), ...stage.assign()], stage.session);
      for (const input of script) {
        if (input.t === "wait") stage.nowMs += input.ms;
        else watch.see(stage.feed(input), stage.session);
      }
      watch.see(stage.feed({ t: "closed" }), stage.session);
      const redialled = stage.connect();
      watch.see(redialled, stage.session);
      const again = sent(redialled).flatMap((frame) =>
        "lease" in frame && watch.endings.get(leaseName(frame.lease)) === frame.t ? [leaseName(frame.lease)] : [],
      );
      const open = [...watch.endings.keys()].filter((name) => !watch.over.has(name));
      expect(again.toSorted()).toEqual(open.toSorted());
    }),
    { numRuns: 500 },
  );
});
