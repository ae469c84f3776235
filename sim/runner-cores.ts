/**
 * The session cores of the simulated runners: the same pure states that run on a GPU host, fed with the frames that a control
 * plane would send and the reports that an engine would make. Frames pass at once, uploads always work.
 *
 * The simulated engine stays the truth about time; a session that does not do what the truth needs (refuses a free gang, says
 * `stopped` before its checkpoint, forgets a lease early) is a bug and ends the run.
 */
import { newSession, step } from "#gpu-runner/core/session.ts";
import type { Input, Session } from "#gpu-runner/core/session.ts";
import type { Effect, EngineReport } from "#gpu-runner/core/attempt.ts";
import type { RunnerTerms } from "#control-plane/core/scheduler/event.ts";
import { DeviceId, RunnerId, Sha256Hex } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";
import type { FromRunner, LeaseRef, RunSpec } from "#protocol/runner.ts";
import type { Run, SimJob } from "./sim-job.ts";

/** Runners beat once a simulated minute; a lease outlives two missed ones. */
const BEAT_MS = 60_000;
const LEASE_MS = 150_000;
const STOP_WITHIN_MS = 86_400_000;
const FILE = { sha256: Sha256Hex.parse("0".repeat(64)), bytes: 1 };
const SPEC: RunSpec = {
  model: "simulated",
  prompt: "",
  negative_prompt: "",
  width: 16,
  height: 16,
  fps: 16,
  frames: 16,
  steps: 1,
  seed: 0,
  stop_after: null,
  reference: null,
};

interface Core {
  session: Session;
  readonly deviceIds: ReadonlyMap<string, DeviceId>;
}

export class RunnerCores {
  readonly #runners = new Map<string, { readonly fresh: () => Core; core: Core | null }>();

  constructor(runners: readonly RunnerTerms[], nowMs: number) {
    runners.forEach((terms, index) => {
      this.#runners.set(terms.id, { fresh: () => freshCore(terms, index), core: null });
      this.started(terms.id, nowMs);
    });
  }

  started(runner: string, nowMs: number): void {
    const known = this.#runner(runner);
    known.core = known.fresh();
    this.#expect(runner, [{ t: "opened" }], nowMs, ["hello", "heartbeat"]);
  }

  died(runner: string): void {
    this.#runner(runner).core = null;
  }

  /** Nothing reaches a runner that is dead. */
  assigned(job: SimJob, run: Run, nowMs: number): void {
    const { core } = this.#runner(run.runner);
    if (core === null || isMate(job, run)) return;
    const devices = run.devices.flatMap((id) => core.deviceIds.get(id) ?? []);
    const lease = leaseOf(job);
    const resume = job.stepsDone > 0 ? { step: job.stepsDone, url: "", ...FILE, written_for: lease.job } : null;
    const frame = { t: "assign", lease, devices, lease_ms: LEASE_MS, spec: SPEC, resume } as const;
    this.#expect(run.runner, [{ t: "frame", frame }], nowMs, ["accepted", "run"]);
  }

  askedToStop(job: SimJob, run: Run, nowMs: number): void {
    if (isMate(job, run)) return;
    const frame = { t: "stop", lease: leaseOf(job), why: "preempt", deadline_ms: STOP_WITHIN_MS } as const;
    this.#expect(run.runner, [{ t: "frame", frame }], nowMs, ["stop"]);
  }

  /** It stopped at a boundary with this many of its steps done; what was done is kept by a checkpoint. */
  stopped(job: SimJob, run: Run, stepsDone: number, nowMs: number): void {
    const stopped = { t: "stopped", step: stepsDone } as const;
    if (stepsDone === job.stepsDone) return this.#report(job, run, [stopped], nowMs, ["stopped", "forget"]);
    // The engine has stopped before its checkpoint is uploaded; the session says so only after that.
    const checkpoint = { t: "checkpoint", step: stepsDone, path: "", exactness: "exact", ...FILE } as const;
    const said = ["upload", "upload", "checkpoint", "stopped", "forget"];
    this.#report(job, run, [checkpoint, stopped], nowMs, said);
  }

  ended(job: SimJob, run: Run, nowMs: number): void {
    if (job.fails) {
      const error = { class: "user", code: "simulated", detail: "" } as const;
      return this.#report(job, run, [{ t: "failed", error }], nowMs, ["failed", "forget"]);
    }
    const artifact = { ...FILE, latents_sha256: null, frames_sha256: null };
    const said = ["stage", "upload", "upload", "finished", "forget"];
    this.#report(job, run, [{ t: "artifact", path: "", artifact }], nowMs, said);
  }

  /** How far a job is, as its runner says. */
  stepped(job: SimJob, run: Run, stepsDone: number, nowMs: number): void {
    const report = { t: "step", stage: "denoise", done: stepsDone, of: job.steps, ms: run.stepMs } as const;
    this.#report(job, run, [report], nowMs, ["step"]);
  }

  beat(nowMs: number): void {
    for (const [runner, { core }] of this.#runners) {
      if (core !== null)
        this.#expect(runner, [{ t: "tick" }], nowMs, core.session.nextBeatMs <= nowMs ? ["heartbeat"] : []);
    }
  }

  #report(job: SimJob, run: Run, reports: readonly EngineReport[], nowMs: number, said: readonly string[]): void {
    if (isMate(job, run)) return;
    const inputs = reports.map((report): Input => ({ t: "engine", lease: leaseOf(job), report }));
    this.#expect(run.runner, inputs, nowMs, said);
  }

  /** Feeds the inputs and everything that follows from them; what the session said and did on the way is as expected. */
  #expect(runner: string, first: readonly Input[], nowMs: number, said: readonly string[]): void {
    const { core } = this.#runner(runner);
    invariant(core !== null, `runner ${runner} lives`);
    const inputs = [...first];
    let at = 0;
    // Grows while it is walked: answers come behind what was reported before them.
    for (const next of inputs) {
      const { session, effects } = step(core.session, next, nowMs);
      core.session = session;
      for (const effect of effects) {
        const kind = effect.t === "send" ? effect.frame.t : effect.t;
        invariant(kind === said[at], `runner ${runner} does ${kind}, where ${said[at] ?? "nothing"} is due`);
        at++;
        const answer = answerTo(effect);
        if (answer !== null) inputs.push(answer);
      }
    }
    invariant(at === said.length, `runner ${runner} does not ${said[at] ?? ""}`);
  }

  #runner(id: string): { readonly fresh: () => Core; core: Core | null } {
    const runner = this.#runners.get(id);
    invariant(runner !== undefined, `runner ${id} is part of the cluster`);
    return runner;
  }
}

/** What the control plane, or the store, says to that. */
function answerTo(effect: Effect): Input | null {
  if (effect.t === "upload") return { t: "uploaded", lease: effect.lease, sha256: effect.sha256, failure: null };
  return effect.t === "send" ? answerToFrame(effect.frame) : null;
}

function answerToFrame(frame: FromRunner): Input | null {
  switch (frame.t) {
    case "hello":
      return { t: "frame", frame: { t: "welcome", lease_ms: LEASE_MS, heartbeat_ms: BEAT_MS } };
    case "heartbeat":
      return { t: "frame", frame: { t: "renewed", beat: frame.beat, leases: frame.leases, lease_ms: LEASE_MS } };
    case "upload": {
      const { lease, kind, sha256 } = frame;
      return { t: "frame", frame: { t: "upload_url", lease, kind, sha256, url: "" } };
    }
    case "checkpoint":
      return { t: "frame", frame: { t: "recorded", lease: frame.lease, what: "checkpoint", sha256: frame.sha256 } };
    case "finished":
    case "failed":
    case "stopped":
      return { t: "frame", frame: { t: "recorded", lease: frame.lease, what: frame.t, sha256: null } };
    default:
      return null;
  }
}

/** No runner batches yet: its session knows the first job of a batch, which begins and ends with the others. */
function isMate(job: SimJob, run: Run): boolean {
  return run.batch !== null && run.batch !== job.id;
}

function leaseOf(job: SimJob): LeaseRef {
  return { job: job.videoId, epoch: job.epoch };
}

function freshCore(terms: RunnerTerms, index: number): Core {
  const deviceIds = new Map(terms.devices.map(({ id }, n) => [id, DeviceId.parse(`gpu-${n}`)]));
  const devices = terms.devices.map(({ vramBytes, slots }, n) => ({
    id: DeviceId.parse(`gpu-${n}`),
    gpu: terms.gpu,
    vram_bytes: vramBytes,
    slots,
  }));
  const session = newSession(
    {
      version: 1,
      runner: RunnerId.parse(`runner-${index}`),
      build: "simulated",
      engine: "simulated",
      models: [SPEC.model],
      caps: { checkpoint: "exact", step_progress: true, cancel: "step" },
      devices,
    },
    BEAT_MS,
  );
  return { session, deviceIds };
}
