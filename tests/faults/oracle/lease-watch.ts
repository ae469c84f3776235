/**
 * Rules at the wire and in the engines: work is sent and results are confirmed only after their commit; an engine runs a lease
 * once, and not beyond what its runner last heard of it.
 */
import { LEASE_MS, leaseName } from "#protocol/runner.ts";
import type { FromRunner, LeaseRef, ToRunner } from "#protocol/runner.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Process } from "../kernel/process.ts";
import type { AttemptRow, Tables } from "../postgres/tables.ts";
import type { FrameWatch } from "../system/ws.ts";
import type { EngineWatch } from "../world/engine.ts";

/** A runner looks at its leases this often; one that was stopped looks when it goes on. */
const GRACE_MS = 450;

const ABOUT_A_LEASE = /^\{"t":"(stage|step|upload|checkpoint|finished|failed|stopped)"/;
const OUTCOME_OF = { finished: "completed", failed: "failed", stopped: "stopped" } as const;

export class LeaseWatch implements FrameWatch, EngineWatch {
  readonly #kernel: Kernel;
  readonly #tables: Tables;
  readonly #openedMs = new Map<string, number>();
  /** By runner process: leases that it was told are over. */
  readonly #stale = new Map<string, string[]>();
  /** By runner process and replica: what its last hello there named, and when. A welcome that was frozen answers no other. */
  readonly #hellos = new Map<string, { readonly atMs: number; readonly leases: ReadonlySet<string> }>();
  /** By runner process and lease: until when it may run at most. */
  readonly #until = new Map<string, number>();
  readonly #begun = new Set<string>();

  constructor(kernel: Kernel, tables: Tables) {
    this.#kernel = kernel;
    this.#tables = tables;
  }

  /** An attempt was committed. */
  opened({ jobId, epoch }: AttemptRow): void {
    this.#openedMs.set(leaseName({ job: jobId, epoch }), this.#kernel.nowMs);
  }

  sent(from: Process, to: Process, text: string): void {
    for (const lease of this.#stale.get(from.label) ?? []) {
      // To refuse it, when it is assigned once more, is an answer. What follows ends the epoch's number.
      const named = text.includes(`${lease},`) || text.includes(`${lease}}`);
      if (named && !text.startsWith('{"t":"refused"'))
        this.#kernel.violate(`${from.label} says ${text.slice(0, 120)}, which it was told is over`);
    }
    if (ABOUT_A_LEASE.test(text)) this.#spoke(from, JSON.parse(text) as Extract<FromRunner, { lease: LeaseRef }>);
    if (text.startsWith('{"t":"hello"')) {
      const { leases } = JSON.parse(text) as Extract<FromRunner, { t: "hello" }>;
      this.#hellos.set(`${from.label} ${to.label}`, {
        atMs: this.#kernel.nowMs,
        leases: new Set(leases.map(leaseName)),
      });
    }
    if (text.startsWith('{"t":"welcome"')) this.#welcomed(from, to);
    if (text.startsWith('{"t":"recorded"')) this.#recorded(JSON.parse(text) as Extract<ToRunner, { t: "recorded" }>);
    if (text.startsWith('{"t":"assign"')) {
      const { lease } = JSON.parse(text) as Extract<ToRunner, { t: "assign" }>;
      if (this.#tables.attempt.get(leaseName(lease)) === null) {
        this.#kernel.violate(`${from.label} sent ${leaseName(lease)} before it was committed`);
      }
    }
  }

  heard(by: Process, text: string): void {
    if (text.startsWith('{"t":"stale"')) {
      const { lease } = JSON.parse(text) as Extract<ToRunner, { t: "stale" }>;
      this.#stale.getOrInsertComputed(by.label, () => []).push(`"job":"${lease.job}","epoch":${lease.epoch}`);
    }
    if (text.startsWith('{"t":"assign"')) {
      this.#extend(by, [(JSON.parse(text) as Extract<ToRunner, { t: "assign" }>).lease]);
    } else if (text.startsWith('{"t":"renewed"')) {
      this.#extend(by, (JSON.parse(text) as Extract<ToRunner, { t: "renewed" }>).leases);
    }
  }

  began(process: Process, job: string, epoch: number): void {
    const name = `${job}/${epoch}`;
    if (this.#begun.has(name)) this.#kernel.violate(`${name} was begun twice, now on ${process.label}`);
    this.#begun.add(name);
  }

  stepped(process: Process, job: string, epoch: number, step: number): void {
    const untilMs = this.#until.get(`${process.label} ${job}/${epoch}`) ?? 0;
    const justWoke = this.#kernel.nowMs - process.resumedAtMs < GRACE_MS;
    if (!justWoke && this.#kernel.nowMs > untilMs + GRACE_MS) {
      const lateMs = Math.round(this.#kernel.nowMs - untilMs);
      this.#kernel.violate(`${process.label} made step ${step} of ${job}/${epoch}, ${lateMs} ms after its lease`);
    }
  }

  /** What a runner lost by a restart was given to others before it is welcome. */
  #welcomed(replica: Process, runner: Process): void {
    const hello = this.#hellos.get(`${runner.label} ${replica.label}`);
    if (hello === undefined) return;
    for (const { runnerId, endedAt, jobId, epoch } of this.#tables.attempt.committed()) {
      const name = leaseName({ job: jobId, epoch });
      if (runnerId !== runner.name || endedAt !== null || (this.#openedMs.get(name) ?? 0) >= hello.atMs) continue;
      if (!hello.leases.has(name)) this.#kernel.violate(`${runner.label} is welcome without ${name}, which it holds`);
    }
  }

  /** A runner says nothing of a lease that has run out by its own clock, not even when it was frozen meanwhile. */
  #spoke(runner: Process, { t, lease }: Extract<FromRunner, { lease: LeaseRef }>): void {
    const untilMs = this.#until.get(`${runner.label} ${leaseName(lease)}`);
    if (untilMs === undefined || this.#kernel.nowMs <= untilMs) return;
    const lateMs = Math.round(this.#kernel.nowMs - untilMs);
    this.#kernel.violate(`${runner.label} says ${t} of ${leaseName(lease)}, ${lateMs} ms after its lease`);
  }

  #extend(runner: Process, leases: readonly LeaseRef[]): void {
    for (const lease of leases) this.#until.set(`${runner.label} ${leaseName(lease)}`, this.#kernel.nowMs + LEASE_MS);
  }

  #recorded({ lease, what, sha256 }: Extract<ToRunner, { t: "recorded" }>): void {
    if (what === "checkpoint") {
      if (this.#checkpoints.has(`${leaseName(lease)} ${sha256}`)) return;
      for (const row of this.#tables.checkpoint.committed()) {
        this.#checkpoints.add(`${row.jobId}/${row.epoch} ${row.sha256}`);
      }
      if (!this.#checkpoints.has(`${leaseName(lease)} ${sha256}`)) {
        this.#kernel.violate(`a checkpoint of ${leaseName(lease)} was confirmed and is not recorded`);
      }
      return;
    }
    const outcome = this.#tables.attempt.get(leaseName(lease))?.outcome;
    if (outcome !== OUTCOME_OF[what]) {
      this.#kernel.violate(`${what} of ${leaseName(lease)} was confirmed, and the attempt is ${outcome ?? "open"}`);
    }
  }

  readonly #checkpoints = new Set<string>();
}
