/**
 * Runs one policy over one workload and one cluster under a virtual clock. The clock only jumps from event to event; all
 * events of an instant are applied before the policy decides, and it decides until it has nothing more to say.
 *
 * The engine knows the truth (durations with their noise, which weights are resident, which runner is dead); the policy
 * learns only what a control plane would be told. Every decision is committed at once, as by a leader without a rival. Each
 * runner is the session core of the real one, which hears of every placement, stop and end and must do what is due.
 */
import type { Decision, Place, Policy, Preempt, TierTerms } from "#control-plane/core/scheduler/event.ts";
import type { JobClass } from "#control-plane/core/scheduler/job-class.ts";
import { invariant } from "#protocol/invariant.ts";
import type { Catalog } from "./catalog.ts";
import type { SimRunner } from "./cluster-file.ts";
import { Failures } from "./failures.ts";
import type { Wear } from "./failures.ts";
import { logConfig } from "./log-config.ts";
import type { RunLog } from "./log-record.ts";
import { Machine } from "./machine.ts";
import { MinHeap } from "./min-heap.ts";
import { stragglerFactor } from "./noise.ts";
import type { NoiseOptions } from "./noise.ts";
import { RunnerCores } from "./runner-cores.ts";
import { QUOTE_AGE_MS, Scribe } from "./scribe.ts";
import { asQueued, boundaryMs, finishMs, newRun, nextBoundary, stepsKeptAt } from "./sim-job.ts";
import type { Run, SimJob } from "./sim-job.ts";

/** Decisions asked for at once. */
const DECISIONS_MAX = 1_024;
/** A policy that decides more often than this in one instant is in a loop. */
const ROUNDS_MAX = 10_000;

export interface SimOptions extends NoiseOptions {
  readonly tiers: readonly TierTerms[];
  /** A failed runner is noticed after this long, and back after that long. */
  readonly leaseMs: number;
  readonly repairMs: number;
  /** Wall clock in milliseconds; read only to time decisions. */
  readonly stopwatch: () => number;
}

export interface SimInput {
  readonly catalog: Catalog;
  readonly cluster: readonly SimRunner[];
  readonly jobs: readonly SimJob[];
  readonly policy: Policy;
  /** What the policy is called in the log. */
  readonly name: string;
  readonly options: SimOptions;
}

export interface SimResult {
  readonly log: RunLog;
  readonly decisions: number;
  readonly decideWallMs: number;
}

type Timed =
  | { readonly t: "finish"; readonly job: SimJob; readonly epoch: number }
  | { readonly t: "boundary"; readonly job: SimJob; readonly epoch: number }
  | { readonly t: "minute" }
  | Wear;

export function simulate(input: SimInput): SimResult {
  return new Engine(input).run();
}

class Engine {
  readonly #input: SimInput;
  readonly #policy: Policy;
  readonly #machine: Machine;
  readonly #classes: ReadonlyMap<string, JobClass>;
  readonly #scribe = new Scribe();
  readonly #agenda = new MinHeap<Timed>();
  readonly #failures: Failures;
  readonly #cores: RunnerCores;
  readonly #byId = new Map<string, SimJob>();
  readonly #waiting = new Map<string, SimJob>();
  readonly #running = new Map<string, SimJob>();
  readonly #accounts = new Set<string>();
  #arrived = 0;
  #nowMs = 0;
  #decisions = 0;
  #decideWallMs = 0;

  constructor(input: SimInput) {
    this.#input = input;
    this.#policy = input.policy;
    this.#machine = new Machine(input.cluster);
    this.#classes = new Map(input.catalog.classes.map((jobClass) => [jobClass.id, jobClass]));
    const terms = [...this.#machine.runners.values()].map((runner) => runner.terms);
    this.#cores = new RunnerCores(terms, this.#nowMs);
    this.#failures = new Failures(this.#machine, input.options, (atMs, wear) => this.#agenda.push(atMs, wear));
  }

  run(): SimResult {
    for (const terms of this.#input.options.tiers) this.#policy.apply({ t: "tier", terms }, 0);
    for (const jobClass of this.#classes.values()) this.#policy.apply({ t: "class", class: jobClass }, 0);
    for (const { terms } of this.#machine.runners.values()) this.#policy.apply({ t: "runner_up", runner: terms }, 0);
    this.#agenda.push(QUOTE_AGE_MS, { t: "minute" });
    while (this.#arrived < this.#input.jobs.length || this.#waiting.size + this.#running.size > 0) this.#instant();
    return {
      log: { config: logConfig(this.#input, this.#machine), records: this.#scribe.records },
      decisions: this.#decisions,
      decideWallMs: this.#decideWallMs,
    };
  }

  #instant(): void {
    const wakeMs = this.#waiting.size > 0 ? this.#policy.nextWakeMs(this.#nowMs) : null;
    const arrivalMs = this.#input.jobs[this.#arrived]?.submittedAtMs ?? Infinity;
    const agendaMs = this.#agenda.peek()?.key ?? Infinity;
    this.#nowMs = Math.min(arrivalMs, agendaMs, wakeMs === null ? Infinity : Math.max(wakeMs, this.#nowMs + 1));
    invariant(
      this.#running.size > 0 || arrivalMs < Infinity || wakeMs !== null || this.#failures.pending > 0,
      `${this.#input.name} leaves ${this.#waiting.size} jobs waiting on an idle cluster`,
    );
    for (let head = this.#agenda.peek(); head !== null && head.key <= this.#nowMs; head = this.#agenda.peek()) {
      const timed = this.#agenda.pop();
      if (timed !== null) this.#happen(timed);
    }
    this.#arrive();
    this.#decide();
  }

  #happen(timed: Timed): void {
    switch (timed.t) {
      case "finish":
        return this.#finish(timed.job, timed.epoch);
      case "boundary":
        return this.#stop(timed.job, timed.epoch);
      case "minute":
        return this.#minute();
      case "breaks":
        this.#cores.died(timed.runner);
        return this.#failures.breaks(timed.runner, this.#nowMs);
      case "noticed":
        return this.#loseRunner(timed.runner, timed.brokeAtMs);
      case "repaired":
        this.#machine.restart(timed.runner);
        this.#cores.started(timed.runner, this.#nowMs);
        this.#failures.repaired(timed.runner, this.#nowMs);
        this.#scribe.runner("runner_back", timed.runner, this.#nowMs);
        return this.#tell({ t: "runner_up", runner: this.#machine.runner(timed.runner).terms });
      default:
        return timed satisfies never;
    }
  }

  #tell(event: Parameters<Policy["apply"]>[0]): void {
    this.#policy.apply(event, this.#nowMs);
  }

  #arrive(): void {
    const { jobs, catalog } = this.#input;
    for (
      let job = jobs[this.#arrived];
      job !== undefined && job.submittedAtMs <= this.#nowMs;
      job = jobs[this.#arrived]
    ) {
      this.#arrived++;
      const jobClass = this.#classes.get(job.class);
      const { steps } = job;
      const fits = (gpu: string, k: number) => catalog.cost.runMs(job?.class ?? "", gpu, k, steps) !== null;
      if (jobClass === undefined || !this.#machine.holds(jobClass, fits)) {
        this.#scribe.rejected(job);
        continue;
      }
      if (!this.#accounts.has(job.account)) this.#tell({ t: "account", account: job.account, tier: job.tier });
      this.#accounts.add(job.account);
      this.#byId.set(job.id, job);
      this.#waiting.set(job.id, job);
      this.#tell({ t: "queued", job: asQueued(job) });
      this.#quote(job);
      this.#scribe.submitted(job, catalog.cost.chargeMs(job.class, job.steps), job.quotes[0] ?? null);
    }
  }

  #decide(): void {
    for (let round = 0; ; round++) {
      invariant(round < ROUNDS_MAX, `${this.#input.name} decides for ever`);
      const begun = this.#input.options.stopwatch();
      const decisions = this.#policy.decide(this.#nowMs, DECISIONS_MAX);
      this.#decideWallMs += this.#input.options.stopwatch() - begun;
      this.#decisions += decisions.length;
      const sizes = batchSizes(decisions);
      for (const decision of decisions) {
        if (decision.t === "place") this.#start(decision, sizes.get(decision.batch) ?? 1);
        else this.#askToStop(decision);
      }
      if (decisions.length === 0) return;
    }
  }

  #start(place: Place, batchSize: number): void {
    const job = this.#waiting.get(place.job.id);
    const jobClass = this.#classes.get(place.job.class);
    invariant(job !== undefined && jobClass !== undefined, `job ${place.job.id} waits when it is placed`);
    const { cost } = this.#input.catalog;
    const runner = this.#machine.runner(place.runner);
    // A batch goes in step: its jobs load together, and are as slow as the first.
    const first = place.batch === null ? null : (this.#running.get(place.batch)?.run ?? null);
    const needsLoad = this.#machine.occupy(place, jobClass);
    const cold = first === null ? needsLoad : first.loadMs > 0;
    job.epoch++;
    const factor = first?.factor ?? job.workFactor * stragglerFactor(this.#input.options, job.id, job.epoch);
    const run = newRun(job, cost, { place, gpu: runner.terms.gpu, cold, batchSize, factor, startMs: this.#nowMs });
    job.run = run;
    this.#waiting.delete(job.id);
    this.#running.set(job.id, job);
    this.#scribe.placed(job, run);
    this.#cores.assigned(job, run, this.#nowMs);
    job.interrupted = false;
    // On a dead runner nothing happens until somebody notices.
    if (runner.alive) this.#agenda.push(finishMs(run), { t: "finish", job, epoch: job.epoch });
    this.#tell({ t: "committed", job: job.id });
  }

  #finish(job: SimJob, epoch: number): void {
    const { run } = job;
    if (run === null || job.epoch !== epoch || !this.#machine.runner(run.runner).alive) return;
    this.#cores.ended(job, run, this.#nowMs);
    this.#leave(job, run);
    job.stepsDone = job.steps;
    const end = { nowMs: this.#nowMs, stepsRun: run.planned, lostMs: 0 };
    this.#scribe.attemptEnded(job.fails ? "failed" : "finished", job, run, end);
    this.#tell({ t: "ended", job: job.id, stepsRun: run.planned });
  }

  #askToStop(preempt: Preempt): void {
    const job = this.#running.get(preempt.job);
    const run = job?.run ?? null;
    invariant(job !== undefined && run !== null, `job ${preempt.job} runs when it is preempted`);
    invariant(job.resumes, `class ${job.class} can be resumed`);
    if (run.stopping || !this.#machine.runner(run.runner).alive) return;
    run.stopping = true;
    this.#cores.askedToStop(job, run, this.#nowMs);
    const next = nextBoundary(run, this.#nowMs);
    // Behind the last boundary there is nothing left to save: it ends by itself.
    if (next >= run.planned) return;
    this.#agenda.push(boundaryMs(run, next), { t: "boundary", job, epoch: job.epoch });
  }

  #stop(job: SimJob, epoch: number): void {
    const { run } = job;
    if (run === null || job.epoch !== epoch || !this.#machine.runner(run.runner).alive) return;
    job.preemptions++;
    const stepsRun = stepsKeptAt(run, this.#nowMs);
    this.#cores.stopped(job, run, job.stepsDone + stepsRun, this.#nowMs);
    this.#interrupt("preempted", job, run, { stepsRun, lostMs: 0 });
  }

  #interrupt(event: "preempted" | "job_lost", job: SimJob, run: Run, end: { stepsRun: number; lostMs: number }): void {
    this.#leave(job, run);
    job.stepsDone += end.stepsRun;
    job.interrupted = true;
    if (end.stepsRun > 0) this.#scribe.checkpointed(job, run, this.#nowMs);
    this.#scribe.attemptEnded(event, job, run, { nowMs: this.#nowMs, ...end });
    this.#waiting.set(job.id, job);
    this.#tell({ t: "requeued", job: asQueued(job), stepsRun: end.stepsRun });
  }

  #loseRunner(runner: string, brokeAtMs: number): void {
    this.#scribe.runner("runner_lost", runner, this.#nowMs);
    for (const job of this.#running.values()) {
      const { run } = job;
      if (run === null || run.runner !== runner) continue;
      const stepsRun =
        job.resumes && run.startMs <= brokeAtMs ? Math.min(run.planned - 1, stepsKeptAt(run, brokeAtMs)) : 0;
      const keptMs = stepsRun * run.stepMs;
      this.#interrupt("job_lost", job, run, { stepsRun, lostMs: Math.max(0, this.#nowMs - run.startMs - keptMs) });
    }
    this.#tell({ t: "runner_down", runner });
  }

  #leave(job: SimJob, run: Run): void {
    this.#running.delete(job.id);
    this.#machine.vacate(run.runner, run.devices, job.id);
    job.run = null;
  }

  /** Runners report how far they are, and everybody who waits is quoted anew. */
  #minute(): void {
    for (const job of this.#running.values()) {
      const { run } = job;
      if (run === null) continue;
      const stepsDone = job.stepsDone + stepsKeptAt(run, this.#nowMs);
      if (stepsDone === job.stepsDone) continue;
      if (this.#machine.runner(run.runner).alive) this.#cores.stepped(job, run, stepsDone, this.#nowMs);
      this.#tell({ t: "progress", job: job.id, stepsDone });
    }
    this.#cores.beat(this.#nowMs);
    for (const job of this.#waiting.values()) this.#quote(job);
    this.#agenda.push(this.#nowMs + QUOTE_AGE_MS, { t: "minute" });
  }

  #quote(job: SimJob): void {
    const quote = this.#policy.quote(job.id, this.#nowMs);
    if (quote === null) return;
    job.quotes = [{ atMs: this.#nowMs, ...quote }, ...job.quotes.slice(0, 1)];
  }
}

/** Jobs of each batch that is placed; those of the null batch run alone. */
function batchSizes(decisions: readonly Decision[]): ReadonlyMap<string | null, number> {
  const sizes = new Map<string | null, number>();
  for (const decision of decisions) {
    if (decision.t !== "place" || decision.batch === null) continue;
    sizes.set(decision.batch, (sizes.get(decision.batch) ?? 0) + 1);
  }
  return sizes;
}
