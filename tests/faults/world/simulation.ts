/**
 * One seed, from an empty studio to the last job's end: clients ask, faults happen, then everything heals and must come to
 * rest in bounded time.
 */
import { eventsAfter } from "#control-plane/db/events.ts";
import type { Runner } from "#gpu-runner/runner.ts";
import type { Push } from "#protocol/edge-call.ts";
import type { AccountId } from "#protocol/id.ts";
import { Chance } from "../kernel/chance.ts";
import { Kernel, Violation } from "../kernel/kernel.ts";
import { Process } from "../kernel/process.ts";
import { setWorld } from "../kernel/running.ts";
import { Checker, stalls } from "../oracle/checker.ts";
import { setServer } from "../postgres/here.ts";
import { PostgresServer } from "../postgres/server.ts";
import { wipeDisks } from "../system/files.ts";
import { watchFrames } from "../system/ws.ts";
import type { Cast } from "./cast.ts";
import { Client } from "./client.ts";
import { SimulatedEdge } from "./edge.ts";
import type { EngineFaults, Pace } from "./engine.ts";
import { closeAll } from "./listeners.ts";
import { SimulatedHook } from "./moderation-hook.ts";
import { Nemesis } from "./nemesis.ts";
import { Network } from "./network.ts";
import { startReplica } from "./replica.ts";
import type { Replica } from "./replica.ts";
import { openRunner } from "./runner.ts";
import { SimulatedStore } from "./store.ts";
import { accountId, furnish } from "./studio.ts";

/** After the faults, everything ends within this time: backoff, leases and the work that is left. */
/** Of the studios. */
const STUDIOS_WITH_DRAFTS = 0.25;
const REST_MS = 1_500_000;
const SKEW_MS = 2_000;
const SUPERVISE_MS = 2_000;
const PULL_MAX = 200;

type HostPace = Pace & { readonly count: number; readonly countMax: number; readonly slots: number };

export class Simulation implements Cast {
  readonly kernel: Kernel;
  readonly network: Network;
  readonly server: PostgresServer;
  readonly store: SimulatedStore;
  readonly hook: SimulatedHook;
  readonly engineFaults: EngineFaults = { failed: 0 };
  readonly replicaNames: readonly string[];
  readonly runnerNames: readonly string[];
  readonly nemesis: Nemesis;
  readonly checker: Checker;
  readonly #edge = new SimulatedEdge();
  readonly #edgeProcess: Process;
  readonly #replicas = new Map<string, Replica>();
  readonly #runners = new Map<string, { readonly process: Process; runner: Runner | null }>();
  readonly #skews = new Map<string, number>();
  readonly #paces = new Map<string, HostPace>();
  readonly #clients: Client[] = [];
  readonly #faultsMs: number;
  /** Of the starts of GPU hosts while things go wrong. */
  readonly #rebuiltShare: number;

  constructor(seed: number) {
    const kernel = new Kernel(seed);
    this.kernel = kernel;
    const chance = kernel.chance.fork("cast");
    this.network = new Network(kernel);
    this.store = new SimulatedStore(kernel, this.network);
    this.hook = new SimulatedHook(seed);
    this.server = new PostgresServer(kernel, chance.between(-SKEW_MS, SKEW_MS));
    this.replicaNames = names("replica", chance.whole(1, 3));
    this.runnerNames = names("runner", chance.whole(1, 4));
    for (const name of this.replicaNames) this.#skews.set(name, chance.between(-SKEW_MS, SKEW_MS));
    for (const name of this.runnerNames) {
      const stepMs = chance.happens(0.25) ? chance.between(1_000, 3_500) : chance.between(40, 600);
      const pace = { stepMs, stepsPerCheckpoint: chance.whole(1, 4) };
      const count = chance.whole(1, 2);
      this.#paces.set(name, { ...pace, count, countMax: count, slots: chance.whole(1, 2) });
    }
    this.#edgeProcess = new Process(kernel, "edge", 0);
    const accounts = chance.whole(1, 4);
    furnish(this.server.tables, accounts);
    this.checker = new Checker({
      kernel,
      server: this.server,
      store: this.store,
      hook: this.hook,
      replicas: () => this.#replicas.values(),
      received: (account) => this.#edge.received.get(account) ?? 0,
    });
    this.nemesis = new Nemesis(kernel, this);
    this.#rebuiltShare = chance.pick([0, 0, 0.6]);
    this.#faultsMs = chance.between(15_000, 60_000);
    // Of its own stream, so that the other studios' histories are as if there were no drafts.
    const makesDrafts = new Chance(seed ^ 0xd4af7).happens(STUDIOS_WITH_DRAFTS);
    const hasGangs = [...this.#paces.values()].some(({ count }) => count > 1);
    for (let index = 0; index < accounts; index++) {
      const process = new Process(kernel, `client-${index}`, 0);
      const host = { ...this.#clientHost(process, hasGangs), makesDrafts };
      const client = new Client(host, process, accountId(index), chance.whole(1, 6));
      this.#clients.push(client);
      kernel.after(chance.between(0, 3_000), process, "client starts", () => client.start());
    }
  }

  async run(): Promise<void> {
    setWorld(this);
    setServer(this.server);
    wipeDisks();
    watchFrames([this.checker.leases, this.checker.sockets]);
    try {
      this.reviveAll();
      this.nemesis.start();
      await this.kernel.run(this.#faultsMs);
      await this.kernel.handle({ cancelled: false, process: null, label: "heal", act: () => this.#heal() });
      await this.kernel.run(this.#faultsMs + REST_MS, () => this.#isAtRest());
      this.#mustRest();
    } finally {
      closeAll();
      watchFrames([]);
      setServer(null);
      setWorld(null);
    }
  }

  replica(name: string): Replica | null {
    const replica = this.#replicas.get(name);
    return replica?.process.alive === true ? replica : null;
  }

  runner(name: string): Process | null {
    const process = this.#runners.get(name)?.process;
    return process?.alive === true ? process : null;
  }

  startReplica(name: string): void {
    if (this.replica(name) !== null) return;
    const process = new Process(this.kernel, name, this.#skews.get(name) ?? 0);
    const { server, network } = this;
    const host = {
      kernel: this.kernel,
      postgres: { server, network },
      store: this.store,
      hook: this.hook,
      push: (from: Process, account: AccountId, push: Push) => this.#push(from, account, push),
    };
    this.within(process, "start", () => this.#replicas.set(name, startReplica(host, process)));
  }

  startRunner(name: string): void {
    const known = this.#paces.get(name);
    if (this.runner(name) !== null || known === undefined) return;
    const pace = this.#rebuilt(known);
    this.#paces.set(name, pace);
    const process = new Process(this.kernel, name, 0);
    const entry: { readonly process: Process; runner: Runner | null } = { process, runner: null };
    this.#runners.set(name, entry);
    const host = {
      kernel: this.kernel,
      urls: this.replicaNames.map((replica) => `http://${replica}.sim`),
      devices: pace,
      pace,
      engineFaults: this.engineFaults,
      watch: this.checker.leases,
    };
    this.within(process, "start", () => {
      void openRunner(host, process).then((runner) => (entry.runner = runner));
    });
  }

  /** While things go wrong, a host may come back with other devices; after that it has all that jobs need. */
  #rebuilt(pace: HostPace): HostPace {
    const { chance } = this.nemesis;
    if (this.nemesis.over) return { ...pace, count: pace.countMax };
    if (!chance.happens(this.#rebuiltShare)) return pace;
    return { ...pace, count: chance.whole(1, pace.countMax), slots: chance.whole(1, 2) };
  }

  drainRunner(name: string, withinMs: number): void {
    const entry = this.#runners.get(name);
    if (entry?.process.alive === true)
      this.within(entry.process, "SIGTERM", () => entry.runner?.feed({ t: "drain", withinMs }));
  }

  stepClock(name: string, byMs: number): void {
    const skewMs = (this.#skews.get(name) ?? 0) + byMs;
    this.#skews.set(name, skewMs);
    const replica = this.replica(name);
    if (replica !== null) replica.process.skewMs = skewMs;
  }

  within(process: Process, label: string, act: () => void): void {
    this.kernel.after(0, process, label, act);
  }

  reviveAll(): void {
    for (const name of this.replicaNames) {
      this.startReplica(name);
      this.#replicas.get(name)?.process.resume();
    }
    for (const name of this.runnerNames) {
      this.startRunner(name);
      this.#runners.get(name)?.process.resume();
    }
  }

  /** From here on a supervisor starts whatever ended. */
  #heal(): void {
    this.nemesis.heal();
    for (const [name, { count, countMax }] of this.#paces) if (count < countMax) this.runner(name)?.kill();
    const again = (): void => {
      this.reviveAll();
      this.kernel.after(SUPERVISE_MS, null, "supervise", again);
    };
    again();
  }

  #clientHost(process: Process, hasGangs: boolean) {
    const chance = this.kernel.chance.fork(process.name);
    return {
      network: this.network,
      chance,
      hasGangs,
      replica: () => {
        const alive = this.replicaNames.flatMap((name) => this.replica(name) ?? []);
        return alive.length === 0 ? null : chance.pick(alive);
      },
      acknowledged: this.checker.acknowledged.bind(this.checker),
      saw: this.checker.saw.bind(this.checker),
      subscribed: (account: AccountId, last: number) =>
        this.#edge.subscribed(account, last, (after) => this.#pull(account, after)),
    };
  }

  #push(from: Process, account: AccountId, push: Push): Promise<boolean> {
    return this.network.call(from, this.#edgeProcess, "push", async () => {
      this.#atEdge(account, push);
      return true;
    });
  }

  #atEdge(account: AccountId, push: Push): void {
    const wrong = this.#edge.receive(account, push, (after) => this.#pull(account, after));
    if (wrong !== null) this.kernel.violate(wrong);
  }

  #pull(account: AccountId, after: number): void {
    const replica = this.replicaNames.map((name) => this.replica(name)).find((one) => one !== null);
    if (replica === undefined || replica === null) return;
    this.network
      .call(this.#edgeProcess, replica.process, "pull", () => eventsAfter(replica.sql, account, after, PULL_MAX))
      .then(
        (events) => this.#atEdge(account, { items: events.map((event) => ({ kind: "event", event }) as const) }),
        () => undefined, // The next push finds the gap again.
      );
  }

  #isAtRest(): boolean {
    if (!this.checker.moved) return false;
    this.checker.moved = false;
    return this.#unrest().length === 0;
  }

  /** What keeps it from being over. */
  #unrest(): readonly string[] {
    const { job, hold, claim, inbox, counter } = this.server.tables;
    const some = <Row>(rows: Iterable<Row>, holds: (row: Row) => boolean) => [...rows].some(holds);
    return [
      ...(this.#clients.every((client) => client.done) ? [] : ["a client waits for an answer"]),
      ...(some(job.committed(), ({ finishedAt }) => finishedAt === null) ? ["a job is not over"] : []),
      ...(some(hold.committed(), ({ state }) => state === "open") ? ["a hold is open"] : []),
      ...this.runnerNames.flatMap((name) => {
        const runner = this.runner(name);
        return runner !== null && this.checker.sockets.isSilent(runner) ? [`${runner.label} does not beat`] : [];
      }),
      ...(some(claim.committed(), () => true) ? ["a device is claimed"] : []),
      ...(some(inbox.committed(), () => true) ? ["mail was not taken"] : []),
      ...[...this.#edge.heard].flatMap(([account, through]) =>
        through === counter.get(account) || counter.get(account) === null
          ? []
          : [`the edge heard ${through} of ${counter.get(account)} events of ${account}`],
      ),
    ];
  }

  /** What the leader believes of runners and waiting jobs. */
  #leaderSays(): readonly string[] {
    const waiting = [...this.server.tables.job.committed()].filter(
      ({ runnerId, finishedAt }) => runnerId === null && finishedAt === null,
    );
    return [...this.#replicas.values()].flatMap(({ process, reign, hub }) => [
      `${process.label} ${reign.leads ? "leads" : "follows"}; runners: ${[...hub.states()].map(([id, { state }]) => `${id} ${state}`).join(", ")}`,
      ...waiting.map(({ id, class: jobClass }) => {
        const { position, blockedBy } = reign.explain(id);
        return `${process.label} has ${id} (${jobClass}) at position ${position}, blocked by ${blockedBy}`;
      }),
    ]);
  }

  #mustRest(): void {
    const why = [...this.#unrest(), ...this.checker.finalFindings()];
    if (why.length === 0) return;
    const processes = [...this.#replicas.values(), ...this.#runners.values()].map(({ process }) => process);
    const details = [...stalls(this.server, processes), ...this.#leaderSays()].map((line) => `  ${line}`);
    throw new Violation([`no rest ${REST_MS / 1_000} s after the faults: ${why.join("; ")}`, ...details].join("\n"));
  }
}

function names(what: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${what}-${index}`);
}
