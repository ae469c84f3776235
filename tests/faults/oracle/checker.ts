/**
 * What must hold whatever fails, checked at every commit, every frame and every step of an engine. It reads the committed
 * tables and what engines and clients saw; it knows nothing of how the product decides.
 */
import type { JobRow } from "#control-plane/db/jobs.ts";
import type { AccountId, CreateKey, VideoId } from "#protocol/id.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Process } from "../kernel/process.ts";
import type { Commit, PostgresServer } from "../postgres/server.ts";
import type { AttemptRow, LeaderRow, SubscriptionRow } from "../postgres/tables.ts";
import type { Replica } from "../world/replica.ts";
import type { SimulatedHook } from "../world/moderation-hook.ts";
import type { SimulatedStore } from "../world/store.ts";
import { CreditRules } from "./credit-rules.ts";
import { EventRules } from "./event-rules.ts";
import { JobRules } from "./job-rules.ts";
import { LeaseWatch } from "./lease-watch.ts";
import { SocketWatch } from "./socket-watch.ts";

/** A rule answers what breaks it; null: nothing. */
export type Finding = string | null;

export interface CheckerHost {
  readonly kernel: Kernel;
  readonly server: PostgresServer;
  readonly store: SimulatedStore;
  readonly hook: SimulatedHook;
  readonly replicas: () => Iterable<Replica>;
  /** The highest number of the account's events that came to the edge. */
  readonly received: (account: AccountId) => number;
}

export class Checker {
  /** Something was committed since the last look. */
  moved = true;
  readonly leases: LeaseWatch;
  readonly sockets: SocketWatch;
  readonly #kernel: Kernel;
  readonly #server: PostgresServer;
  readonly #jobs: JobRules;
  readonly #credits: CreditRules;
  readonly #events: EventRules;
  readonly #keys = new Map<string, VideoId>();
  readonly #seen = new Map<VideoId, number>();

  readonly #replicas: () => Iterable<Replica>;
  readonly #received: (account: AccountId) => number;

  constructor({ kernel, server, store, hook, replicas, received }: CheckerHost) {
    this.#replicas = replicas;
    this.#received = received;
    this.#kernel = kernel;
    this.#server = server;
    this.#jobs = new JobRules(server.tables, store, hook);
    this.#credits = new CreditRules(server.tables);
    this.#events = new EventRules(server.tables);
    this.leases = new LeaseWatch(kernel, server.tables);
    this.sockets = new SocketWatch(kernel);
    server.onCommit = (commit) => this.#committed(commit);
  }

  /** The client holds an answer that says so. */
  acknowledged(account: AccountId, createKey: CreateKey, job: VideoId): void {
    const key = `${account}/${createKey}`;
    const before = this.#keys.getOrInsert(key, job);
    const { createKey: keys, job: jobs } = this.#server.tables;
    if (before !== job) this.#broken(`create key ${createKey} was answered with ${before} and ${job}`);
    if (keys.get(key) !== job || jobs.get(job) === null) this.#broken(`${job} was acknowledged and is not there`);
  }

  saw(job: VideoId, progress: number): void {
    const before = this.#seen.get(job) ?? 0;
    if (progress < before) this.#broken(`a client saw ${job} fall from ${before} % to ${progress} %`);
    this.#seen.set(job, progress);
  }

  /** Every acknowledged job, once more, at the end. */
  finalFindings(): readonly string[] {
    const { job } = this.#server.tables;
    return [...this.#keys.values()].flatMap((id) => (job.get(id) === null ? [`acknowledged ${id} is lost`] : []));
  }

  #committed({ tx, changes }: Commit): void {
    if (changes.length === 0) return;
    this.moved = true;
    for (const { table, key } of changes) this.#kernel.log.add(`${table} ${key}`);
    const { leader } = this.#server.tables;
    const present = leader.get("leader");
    if (tx.ledBy !== null && present?.epoch !== tx.ledBy) {
      this.#broken(`a scheduling transaction of epoch ${tx.ledBy} committed under epoch ${present?.epoch ?? 0}`);
    }
    for (const { table, before, after } of changes) {
      if (table === "edge_subscription")
        this.#found(this.#sentFinding(before as SubscriptionRow | null, after as SubscriptionRow | null));
      if (table === "attempt" && before === null) this.leases.opened(after as AttemptRow);
      if (table !== "leader") continue;
      this.#found(leaderFinding(before as LeaderRow | null, after as LeaderRow, this.#server.clock(), tx.by));
      this.#found(this.#othersFinding(before as LeaderRow | null, after as LeaderRow));
    }
    for (const finding of this.#jobs.findings({ tx, changes })) this.#found(finding);
    for (const finding of this.#credits.findings(changes)) this.#found(finding);
    for (const finding of this.#events.findings(changes)) this.#found(finding);
    for (const { what, job, epoch } of tx.accepted) {
      if (what === "placement" && present?.holder !== tx.by) {
        this.#broken(`${tx.by} placed ${job} epoch ${epoch}, while ${present?.holder ?? "nobody"} leads`);
      }
    }
  }

  /** What counts as sent has come to the edge. */
  #sentFinding(before: SubscriptionRow | null, after: SubscriptionRow | null): Finding {
    // A subscription that begins anew, or is renewed, says nothing of what was sent.
    if (before === null || after === null || before.expiresAt !== after.expiresAt) return null;
    const received = this.#received(after.accountId);
    return after.sentThrough <= received
      ? null
      : `events of ${after.accountId} count as sent through ${after.sentThrough}, and the edge has ${received}`;
  }

  /** Whoever led before knows by its own clock that it does no more, if it was not stopped meanwhile. */
  #othersFinding(before: LeaderRow | null, { epoch, holder }: LeaderRow): Finding {
    if (before === null || before.epoch === epoch) return null;
    for (const { process, reign } of this.#replicas()) {
      const isAwake = process.alive && !process.stopped && this.#kernel.nowMs - process.resumedAtMs > 10;
      if (isAwake && process.label !== holder && reign.leads) return `${process.label} leads on, while ${holder} leads`;
    }
    return null;
  }

  #found(finding: Finding): void {
    if (finding !== null) this.#broken(finding);
  }

  #broken(text: string): void {
    this.#kernel.violate(text);
  }
}

function leaderFinding(before: LeaderRow | null, after: LeaderRow, now: Date, by: string): Finding {
  if (before === null) return null;
  if (after.epoch < before.epoch) return `the leader's epoch fell from ${before.epoch} to ${after.epoch}`;
  if (after.holder === before.holder && after.epoch === before.epoch) {
    return after.holder === by ? null : `${by} moved the lease of ${after.holder}`;
  }
  if (after.epoch === before.epoch) return `epoch ${after.epoch} has two holders`;
  return before.expiresAt > now ? `${after.holder} leads while the lease of ${before.holder} runs` : null;
}

/** Why something has not come to its end. */
export function stalls(server: PostgresServer, processes: readonly Process[]): readonly string[] {
  const { job, hold, claim, inbox, leader, attempt } = server.tables;
  const open = [...job.committed()].filter((row) => row.finishedAt === null);
  return [
    ...open.map(
      (row) =>
        `${describe(row)}; attempts ${[...attempt.committed()]
          .filter((one) => one.jobId === row.id)
          .map((one) => `${one.epoch}@${one.runnerId}:${one.outcome ?? "open"}`)
          .join(" ")}`,
    ),
    ...[...hold.committed()].filter(({ state }) => state === "open").map(({ jobId }) => `the hold of ${jobId} is open`),
    ...[...claim.committed()].map((row) => `${row.runnerId}/${row.device}/${row.slot} is held by ${row.jobId}`),
    ...[...inbox.committed()].map((row) => `mail about ${row.jobId ?? "the terms"} was not taken`),
    `leader: ${JSON.stringify(leader.get("leader"))}, now ${server.clock().toISOString()}`,
    ...processes.map(({ label, alive, stopped }) => `${label}: ${alive ? (stopped ? "stopped" : "alive") : "dead"}`),
  ];
}

function describe(row: JobRow): string {
  const lease =
    row.runnerId === null ? "on no runner" : `on ${row.runnerId} until ${row.leaseExpiresAt?.toISOString()}`;
  return `${row.id} is ${row.state}, epoch ${row.epoch}, ${row.stepsDone}/${row.steps} steps, ${lease}, not before ${row.notBefore?.toISOString() ?? "now"}`;
}
