/**
 * A runner's session core on a wire that loses the order of what it carries: each frame of a small control plane waits in
 * a heap, and comes once, twice, late, or over a later line. What the runner says is heard at once.
 */
import type { Effect, EngineReport } from "#gpu-runner/core/attempt.ts";
import type { Input } from "#gpu-runner/core/session.ts";
import type { VideoId } from "#protocol/id.ts";
import { type FromRunner, HEARTBEAT_MS, LEASE_MS, type LeaseRef, leaseName, type ToRunner } from "#protocol/runner.ts";
import { aSpec } from "./reference-job.ts";
import { DEVICE, Stage } from "./stage.ts";

export type Command =
  /** The control plane gives the job out anew; whoever had it has it no more. */
  | { readonly t: "offer"; readonly job: VideoId }
  | { readonly t: "recall"; readonly job: VideoId }
  | { readonly t: "stop"; readonly job: VideoId; readonly why: "preempt" | "cancel" }
  /** One waiting frame comes; `again` leaves a copy of it behind. */
  | { readonly t: "deliver"; readonly nth: number; readonly again: boolean }
  /** Everything that waits comes, in order. */
  | { readonly t: "flush" }
  | { readonly t: "engine"; readonly job: VideoId; readonly report: EngineReport }
  | { readonly t: "uploaded"; readonly job: VideoId; readonly works: boolean }
  | { readonly t: "pass"; readonly ms: number }
  | { readonly t: "redial" };

/** Sees each input before it is taken and what was done upon it after. */
export interface Law {
  before(stage: Stage, input: Input): void;
  after(stage: Stage, input: Input, effects: readonly Effect[]): void;
}

const HEAP_MAX = 64;

export class LooseWire {
  readonly stage = new Stage();
  readonly #law: Law;
  readonly #heap: ToRunner[] = [];
  readonly #epochs = new Map<VideoId, number>();
  /** The epoch that may still write. */
  readonly #current = new Map<VideoId, number>();

  constructor(law: Law) {
    this.#law = law;
    this.#redial();
  }

  do(command: Command): void {
    switch (command.t) {
      case "offer": {
        const lease = this.#nextLease(command.job);
        this.#current.set(command.job, lease.epoch);
        const devices = [DEVICE];
        return this.#send({ t: "assign", lease, devices, lease_ms: LEASE_MS, spec: aSpec(), resume: null });
      }
      case "recall":
        return this.#recall(command.job);
      case "stop": {
        const epoch = this.#current.get(command.job);
        const { job, why } = command;
        if (epoch !== undefined) this.#send({ t: "stop", lease: { job, epoch }, why, deadline_ms: 1_000 });
        return;
      }
      case "deliver":
        return this.#deliver(command.nth % Math.max(1, this.#heap.length), command.again);
      case "flush":
        for (let waiting = this.#heap.length; waiting > 0; waiting--) this.#deliver(0, false);
        return;
      case "engine":
        return this.#ofJob(command.job, (lease) => this.#feed({ t: "engine", lease, report: command.report }));
      case "uploaded":
        return this.#uploaded(command.job, command.works);
      case "pass":
        this.stage.nowMs += command.ms;
        return this.#feed({ t: "tick" });
      case "redial":
        return this.#redial();
      default:
        return command satisfies never;
    }
  }

  #nextLease(job: VideoId): LeaseRef {
    const epoch = (this.#epochs.get(job) ?? 0) + 1;
    this.#epochs.set(job, epoch);
    return { job, epoch };
  }

  #recall(job: VideoId): void {
    const epoch = this.#current.get(job);
    this.#current.delete(job);
    if (epoch !== undefined) this.#send({ t: "stale", lease: { job, epoch } });
  }

  /** The heap forgets its oldest: a frame may be lost with its line too. */
  #send(frame: ToRunner): void {
    this.#heap.push(frame);
    if (this.#heap.length > HEAP_MAX) this.#heap.shift();
  }

  #deliver(nth: number, again: boolean): void {
    const frame = this.#heap[nth];
    if (frame === undefined) return;
    this.#heap.splice(nth, 1);
    if (again) this.#heap.push(frame);
    this.#feed({ t: "frame", frame });
  }

  #ofJob(job: VideoId, act: (lease: LeaseRef) => void): void {
    const attempt = this.stage.session.attempts.find(({ lease }) => lease.job === job);
    if (attempt !== undefined) act(attempt.lease);
  }

  #uploaded(job: VideoId, works: boolean): void {
    const parcel = this.stage.session.attempts.find(({ lease }) => lease.job === job)?.parcel;
    if (parcel?.phase !== "sending") return;
    const failure = works ? null : ({ code: "upload_failed", detail: "" } as const);
    this.#ofJob(job, (lease) => this.#feed({ t: "uploaded", lease, sha256: parcel.sha256, failure }));
  }

  #redial(): void {
    this.#feed({ t: "closed" });
    this.#feed({ t: "opened" });
  }

  #feed(input: Input): void {
    this.#law.before(this.stage, input);
    const effects = this.stage.feed(input);
    this.#law.after(this.stage, input, effects);
    for (const effect of effects) if (effect.t === "send") this.#hear(effect.frame);
  }

  #isCurrent({ job, epoch }: LeaseRef): boolean {
    return this.#current.get(job) === epoch;
  }

  #hear(frame: FromRunner): void {
    switch (frame.t) {
      case "hello":
        return this.#send({ t: "welcome", lease_ms: LEASE_MS, heartbeat_ms: HEARTBEAT_MS });
      case "heartbeat": {
        const leases = frame.leases.filter((lease) => this.#isCurrent(lease));
        this.#send({ t: "renewed", beat: frame.beat, leases, lease_ms: LEASE_MS });
        for (const lease of frame.leases) if (!this.#isCurrent(lease)) this.#send({ t: "stale", lease });
        return;
      }
      case "refused":
        if (this.#isCurrent(frame.lease)) this.#current.delete(frame.lease.job);
        return;
      case "upload":
        return this.#send({ ...frame, t: "upload_url", url: `/${leaseName(frame.lease)}` });
      case "checkpoint":
        return this.#answer(frame.lease, { t: "recorded", lease: frame.lease, what: frame.t, sha256: frame.sha256 });
      case "finished":
      case "failed":
      case "stopped": {
        const { lease, t: what } = frame;
        const sha256 = frame.t === "finished" ? frame.artifact.sha256 : null;
        this.#answer(lease, { t: "recorded", lease, what, sha256 });
        return;
      }
      default:
        return;
    }
  }

  #answer(lease: LeaseRef, recorded: ToRunner): void {
    this.#send(this.#isCurrent(lease) ? recorded : { t: "stale", lease });
  }
}
