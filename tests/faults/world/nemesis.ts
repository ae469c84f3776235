/** What goes wrong: a seed enables some kinds of faults, and draws when, where and for how long. Then everything heals. */
import type { Chance } from "../kernel/chance.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { NO_DATABASE_FAULTS, STATEMENT_TIMEOUT_MS } from "../postgres/server.ts";
import { NO_NETWORK_FAULTS } from "./network.ts";
import type { Cast } from "./cast.ts";
import { NO_STORE_FAULTS } from "./store.ts";

const ENABLED_SHARE = 0.4;
const GAP_MS_MAX = 5_000;

export class Nemesis {
  readonly drawn = new Map<string, number>();
  readonly #kernel: Kernel;
  readonly chance: Chance;
  over = false;
  readonly #cast: Cast;
  readonly #kinds: readonly FaultKind[];

  constructor(kernel: Kernel, cast: Cast) {
    this.#kernel = kernel;
    this.chance = kernel.chance.fork("nemesis");
    this.#cast = cast;
    this.#kinds = (Object.keys(FAULTS) as FaultKind[]).filter(() => this.chance.happens(ENABLED_SHARE));
  }

  start(): void {
    if (this.#kinds.length > 0) this.#next();
  }

  /** Everything works again from now on. */
  heal(): void {
    this.over = true;
    const { network, server, store, engineFaults } = this.#cast;
    network.faults = { ...NO_NETWORK_FAULTS };
    server.faults = { ...NO_DATABASE_FAULTS };
    store.faults = { ...NO_STORE_FAULTS };
    engineFaults.failed = 0;
    server.trap = null;
    server.start();
    server.process.resume();
    network.healAll();
  }

  #next(): void {
    this.#kernel.after(this.chance.between(200, GAP_MS_MAX), null, "nemesis", () => {
      if (this.over) return;
      const kind = this.chance.pick(this.#kinds);
      this.drawn.set(kind, (this.drawn.get(kind) ?? 0) + 1);
      this.#kernel.note(`fault: ${kind}`);
      FAULTS[kind]({ cast: this.#cast, chance: this.chance, after: (ms, act) => this.#after(ms, act) });
      this.#next();
    });
  }

  #after(ms: number, act: () => void): void {
    this.#kernel.after(ms, null, "fault ends", () => {
      if (!this.over) act();
    });
  }
}

interface Stage {
  readonly cast: Cast;
  readonly chance: Chance;
  /** Not after everything has healed. */
  after(ms: number, act: () => void): void;
}

type Fault = (stage: Stage) => void;
type FaultKind = keyof typeof FAULTS;

/** Where a replica is hit in the middle of something. */
const TRAPPED_STATEMENTS = [
  "assertLeader",
  "markStarting",
  "openAttempt",
  "saveTags",
  "saveTierClocks",
  "appendEvent",
  "begin",
  "commit",
  "lockJob",
  "saveChange",
  "closeAttempt",
  "closeHold",
  "post",
  "insertCheckpoint",
  "insertJob",
  "renewLeases",
  "readInbox",
  "jobsByIds",
  "renewLeadership",
  "takeLeadership",
  "leasesOfRunner",
  "saveProgress",
] as const;

const FAULTS = {
  replicaCrash: ({ cast, chance, after }) => {
    const name = chance.pick(cast.replicaNames);
    cast.replica(name)?.process.kill(chance.happens(0.3));
    after(chance.between(100, 8_000), () => cast.startReplica(name));
  },
  replicaStop: ({ cast, chance, after }) => {
    const replica = cast.replica(chance.pick(cast.replicaNames));
    replica?.process.stop();
    after(chance.latency(4_000), () => replica?.process.resume());
  },
  replicaShutdown: ({ cast, chance, after }) => {
    const name = chance.pick(cast.replicaNames);
    const replica = cast.replica(name);
    if (replica !== null) cast.within(replica.process, "SIGTERM", () => replica.shutDown());
    after(chance.between(2_000, 8_000), () => {
      replica?.process.kill();
      cast.startReplica(name);
    });
  },
  runnerCrash: ({ cast, chance, after }) => {
    const name = chance.pick(cast.runnerNames);
    cast.runner(name)?.kill(chance.happens(0.3));
    after(chance.between(100, 20_000), () => cast.startRunner(name));
  },
  runnerStop: ({ cast, chance, after }) => {
    const runner = cast.runner(chance.pick(cast.runnerNames));
    runner?.stop();
    after(chance.latency(8_000), () => runner?.resume());
  },
  runnerDrain: ({ cast, chance, after }) => {
    const name = chance.pick(cast.runnerNames);
    cast.drainRunner(name, chance.between(100, 5_000));
    after(chance.between(5_000, 12_000), () => {
      cast.runner(name)?.kill();
      cast.startRunner(name);
    });
  },
  cut: ({ cast, chance, after }) => {
    const names = ["postgres", "store", "edge", ...cast.replicaNames, ...cast.runnerNames];
    const [a, b] = [chance.pick(cast.replicaNames), chance.pick(names)];
    if (chance.happens(0.7)) cast.network.cut(a, b);
    if (chance.happens(0.7)) cast.network.cut(b, a);
    after(chance.pick([500, 3_000, 8_000, 25_000]) * chance.between(0.5, 1.5), () => cast.network.healAll());
  },
  slowNetwork: ({ cast, chance, after }) => {
    cast.network.faults.slowMs = chance.between(20, 800);
    after(chance.between(500, 8_000), () => (cast.network.faults.slowMs = 0));
  },
  badProxy: ({ cast, chance, after }) => {
    cast.network.faults.duplicated = chance.between(0, 0.3);
    cast.network.faults.swapped = chance.between(0, 0.05);
    after(chance.between(2_000, 20_000), () => Object.assign(cast.network.faults, { duplicated: 0, swapped: 0 }));
  },
  halfOpen: ({ cast, chance, after }) => {
    cast.network.faults.halfOpened = chance.between(0, 0.05);
    after(chance.between(500, 5_000), () => (cast.network.faults.halfOpened = 0));
  },
  resets: ({ cast, chance, after }) => {
    cast.network.faults.reset = chance.between(0, 0.05);
    after(chance.between(500, 5_000), () => (cast.network.faults.reset = 0));
  },
  slowDatabase: ({ cast, chance, after }) => {
    cast.server.faults.slowMs = chance.pick([50, 300, 1_500]) * chance.unit();
    after(chance.between(500, 8_000), () => (cast.server.faults.slowMs = 0));
  },
  databaseRestart: ({ cast, chance, after }) => {
    cast.server.crash();
    after(chance.between(50, 6_000), () => cast.server.start());
  },
  databaseStop: ({ cast, chance, after }) => {
    const { process } = cast.server;
    process.stop();
    after(chance.between(100, 4_000), () => process.resume());
  },
  commitUnknown: ({ cast, chance, after }) => {
    cast.server.faults.commitUnknown = chance.between(0.01, 0.3);
    after(chance.between(500, 6_000), () => (cast.server.faults.commitUnknown = 0));
  },
  lostStatements: ({ cast, chance, after }) => {
    cast.server.faults.lost = chance.between(0.01, 0.1);
    after(chance.between(500, 6_000), () => (cast.server.faults.lost = 0));
  },
  /** The database hangs in one statement, and the host that asked freezes until just after. */
  freezeInStatement: ({ cast, chance, after }) => {
    const name = chance.pick(TRAPPED_STATEMENTS);
    cast.server.trap = (asked, replica) => {
      if (asked !== name) return 0;
      cast.server.trap = null;
      const hangMs = chance.between(2_000, STATEMENT_TIMEOUT_MS - 100);
      const process = cast.replicaNames.map((one) => cast.replica(one)?.process).find((one) => one?.label === replica);
      process?.stop();
      after(hangMs + chance.between(10, 1_400), () => process?.resume());
      return hangMs;
    };
  },
  crashInStatement: ({ cast, chance, after }) => {
    const name = chance.pick(TRAPPED_STATEMENTS);
    cast.server.trap = (asked, replica) => {
      if (asked !== name) return 0;
      cast.server.trap = null;
      const alive = cast.replicaNames.map((one) => cast.replica(one)).find((one) => one?.process.label === replica);
      if (alive === undefined || alive === null) return 0;
      // Before or after the statement was worked on, and with or without a word to the server.
      after(chance.between(0, 1), () => alive.process.kill(chance.happens(0.5)));
      after(chance.between(100, 6_000), () => cast.startReplica(alive.process.name));
      return 0;
    };
  },
  slowStore: ({ cast, chance, after }) => {
    cast.store.faults.slowMs = chance.between(100, 6_000);
    after(chance.between(500, 8_000), () => (cast.store.faults.slowMs = 0));
  },
  badStore: ({ cast, chance, after }) => {
    const share = () => chance.between(0, 0.4);
    Object.assign(cast.store.faults, { refused: share(), broken: share(), answerLost: share() });
    after(chance.between(500, 8_000), () => Object.assign(cast.store.faults, { refused: 0, broken: 0, answerLost: 0 }));
  },
  corruptCheckpoints: ({ cast, chance, after }) => {
    cast.store.faults.corrupted = chance.between(0.1, 0.8);
    after(chance.between(1_000, 10_000), () => (cast.store.faults.corrupted = 0));
  },
  engineFails: ({ cast, chance, after }) => {
    cast.engineFaults.failed = chance.between(0.02, 0.15);
    after(chance.between(500, 8_000), () => (cast.engineFaults.failed = 0));
  },
  clockStep: ({ cast, chance }) => {
    cast.stepClock(chance.pick(cast.replicaNames), chance.between(-3_000, 3_000));
  },
} satisfies Record<string, Fault>;
