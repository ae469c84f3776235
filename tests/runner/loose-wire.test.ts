/** Whatever the wire does to the frames, the session core keeps these laws. */
import fc from "fast-check";
import { expect, test } from "vitest";
import type { Effect, EngineReport } from "#gpu-runner/core/attempt.ts";
import type { Input } from "#gpu-runner/core/session.ts";
import { VideoId } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";
import { FromRunner, type LeaseRef, leaseName } from "#protocol/runner.ts";
import { check } from "../properties/check.ts";
import { type Command, type Law, LooseWire } from "./loose-wire.ts";
import { ARTIFACT, CHECKPOINT, type Stage } from "./stage.ts";

const JOBS = ["a", "b"].map((letter) => VideoId.parse(`video_${letter.repeat(32)}`));
const REPORTS: readonly EngineReport[] = [
  { t: "stage", stage: "denoise" },
  { t: "step", stage: "denoise", done: 1, of: 8, ms: 1 },
  CHECKPOINT,
  { t: "artifact", path: "/v", artifact: ARTIFACT },
  { t: "stopped", step: 1 },
  { t: "failed", error: { class: "engine_fatal", code: "exited", detail: "" } },
];

const job = fc.constantFrom(...JOBS);
const commands: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ t: fc.constant("offer" as const), job }) },
  { weight: 1, arbitrary: fc.record({ t: fc.constant("recall" as const), job }) },
  {
    weight: 1,
    arbitrary: fc.record({
      t: fc.constant("stop" as const),
      job,
      why: fc.constantFrom("preempt" as const, "cancel" as const),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ t: fc.constant("deliver" as const), nth: fc.nat({ max: 63 }), again: fc.boolean() }),
  },
  { weight: 2, arbitrary: fc.constant<Command>({ t: "flush" }) },
  { weight: 5, arbitrary: fc.record({ t: fc.constant("engine" as const), job, report: fc.constantFrom(...REPORTS) }) },
  { weight: 4, arbitrary: fc.record({ t: fc.constant("uploaded" as const), job, works: fc.boolean() }) },
  { weight: 3, arbitrary: fc.record({ t: fc.constant("pass" as const), ms: fc.nat({ max: 6_000 }) }) },
  { weight: 2, arbitrary: fc.constant<Command>({ t: "redial" }) },
);

type Ending = Extract<FromRunner, { t: "finished" | "failed" | "stopped" }>;

/** Knows from outside which leases are over, and holds the session to it. */
class Fencing implements Law {
  readonly #newestRun = new Map<VideoId, number>();
  readonly #overUpTo = new Map<VideoId, number>();
  readonly #endings = new Map<string, Ending>();
  readonly #refused = new Set<string>();
  runs = 0;
  endings = 0;

  before(stage: Stage, input: Input): void {
    for (const { lease, leaseUntilMs } of stage.session.attempts) if (leaseUntilMs <= stage.nowMs) this.#end(lease);
    if (input.t !== "frame") return;
    const { frame } = input;
    if (frame.t === "stale") this.#end(frame.lease);
    if (frame.t === "recorded" && frame.what === this.#endings.get(leaseName(frame.lease))?.t) this.#end(frame.lease);
    // A newer lease of a job says that the older ones are over.
    if (frame.t === "assign") this.#end({ ...frame.lease, epoch: frame.lease.epoch - 1 });
  }

  #end({ job: id, epoch }: LeaseRef): void {
    this.#overUpTo.set(id, Math.max(epoch, this.#overUpTo.get(id) ?? 0));
  }

  #isOver({ job: id, epoch }: LeaseRef): boolean {
    return epoch <= (this.#overUpTo.get(id) ?? 0);
  }

  after(stage: Stage, input: Input, effects: readonly Effect[]): void {
    for (const effect of effects) {
      if (effect.t === "run") this.#runs(effect.lease);
      if (effect.t === "upload") this.#mayAct(effect.lease, "uploads");
      if (effect.t === "send") this.#says(effect.frame);
    }
    const rendering = stage.session.attempts.filter((attempt) => attempt.rendering);
    invariant(rendering.length <= 1, "one device renders two jobs");
    for (const { lease } of stage.session.attempts) this.#mayAct(lease, "is kept");
    if (input.t === "frame" && input.frame.t === "welcome") this.#repeated(effects);
  }

  #runs(lease: LeaseRef): void {
    this.#mayAct(lease, "runs");
    invariant(!this.#refused.has(leaseName(lease)), `${leaseName(lease)} runs after it was refused`);
    const newest = this.#newestRun.get(lease.job) ?? 0;
    invariant(lease.epoch > newest, `${leaseName(lease)} runs after epoch ${newest} of its job ran`);
    this.#newestRun.set(lease.job, lease.epoch);
    this.runs++;
  }

  #says(frame: FromRunner): void {
    invariant(FromRunner.safeParse(frame).success, "a frame breaks the protocol");
    // A refusal is the answer to a late copy of an assign: it takes nothing and claims nothing.
    if (frame.t === "refused") {
      this.#refused.add(leaseName(frame.lease));
      return;
    }
    for (const lease of "leases" in frame ? frame.leases : "lease" in frame ? [frame.lease] : []) {
      this.#mayAct(lease, `is named by ${frame.t}`);
    }
    if (frame.t !== "finished" && frame.t !== "failed" && frame.t !== "stopped") return;
    const name = leaseName(frame.lease);
    const said = this.#endings.get(name);
    invariant((said?.t ?? frame.t) === frame.t, `${name} ends in two ways`);
    if (said === undefined) this.endings++;
    this.#endings.set(name, frame);
  }

  #repeated(effects: readonly Effect[]): void {
    const frames = effects.flatMap((effect) => (effect.t === "send" ? [effect.frame] : []));
    for (const ending of this.#endings.values()) {
      const again = frames.some((frame) => JSON.stringify(frame) === JSON.stringify(ending));
      invariant(again || this.#isOver(ending.lease), `${ending.t} of ${leaseName(ending.lease)} is not repeated`);
    }
  }

  #mayAct(lease: LeaseRef, does: string): void {
    invariant(!this.#isOver(lease), `${leaseName(lease)} ${does} after it was over`);
  }
}

test("frames that come twice, late, out of order or over a later line run no lease twice and revive none", () => {
  let runs = 0;
  let endings = 0;
  check(
    2_000,
    fc.property(fc.array(commands, { maxLength: 120, size: "max" }), (script) => {
      const law = new Fencing();
      const wire = new LooseWire(law);
      for (const command of script) wire.do(command);
      runs += law.runs;
      endings += law.endings;
    }),
  );
  // The histories are worth something: leases ran, and some came to an end.
  expect(runs).toBeGreaterThan(1_000);
  expect(endings).toBeGreaterThan(200);
});
