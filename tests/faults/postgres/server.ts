/**
 * The model of PostgreSQL as a process: sessions, transactions, timeouts, restarts. It runs in the simulation's network, so
 * what is sent to it can be late or held, and it can be stopped or killed like any other process. What is committed stays.
 */
import { Process } from "../kernel/process.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Chance } from "../kernel/chance.ts";
import { Locks } from "./locks.ts";
import type { Change } from "./table.ts";
import { Tables } from "./tables.ts";
import { DatabaseError, MustWait, Tx } from "./tx.ts";

const LOCK_TIMEOUT_MS = 1_000;
const IDLE_IN_TRANSACTION_MS = 1_500;
const WORK_MS = 0.2;
/** Nothing takes longer; what does, is ended by the session's own limit. */
export const STATEMENT_TIMEOUT_MS = 5_000;

export interface DatabaseFaults {
  /** Added to every statement. */
  slowMs: number;
  /** Of commits that wrote: done, and the client never hears. */
  commitUnknown: number;
  /** Of statements: the connection breaks before. */
  lost: number;
}

export const NO_DATABASE_FAULTS: DatabaseFaults = { slowMs: 0, commitUnknown: 0, lost: 0 };

export type Work = (tx: Tx) => unknown;
type Reply = { readonly ok: true; readonly value: unknown } | { readonly ok: false; readonly error: Error };

/** What a client asks of its session. */
export interface Request {
  readonly name: string;
  readonly kind: "statement" | "begin" | "commit" | "rollback";
  readonly work: Work;
  readonly reply: (reply: Reply) => void;
}

export interface Commit {
  readonly tx: Tx;
  readonly changes: readonly Change[];
}

export class PostgresServer {
  readonly tables = new Tables();
  readonly kernel: Kernel;
  readonly chance: Chance;
  faults: DatabaseFaults = { ...NO_DATABASE_FAULTS };
  process: Process;
  /** Hears of each commit that changed something. */
  onCommit: (commit: Commit) => void = () => undefined;
  /** Asked before each request, with who asks: how much longer it takes. */
  trap: ((request: string, by: string) => number) | null = null;
  #locks = new Locks();
  readonly #commits = { last: 0 };
  readonly #backends = new Set<Backend>();

  constructor(kernel: Kernel, skewMs: number) {
    this.kernel = kernel;
    this.chance = kernel.chance.fork("postgres");
    this.process = new Process(kernel, "postgres", skewMs);
  }

  get locks(): Locks {
    return this.#locks;
  }

  clock(): Date {
    return new Date(this.process.wallMs());
  }

  connect(by: string, closed: () => void): Backend {
    const backend = new Backend(this, by, closed);
    this.#backends.add(backend);
    return backend;
  }

  newTx(by: string): Tx {
    return new Tx(this.#locks, this.#commits, by, () => this.clock());
  }

  closed(backend: Backend): void {
    this.#backends.delete(backend);
  }

  crash(): void {
    this.process.kill();
    for (const backend of this.#backends) backend.end();
    this.#locks = new Locks();
  }

  start(): void {
    const { skewMs } = this.process;
    if (!this.process.alive) this.process = new Process(this.kernel, "postgres", skewMs);
  }
}

/** One session at the server. */
export class Backend {
  readonly #server: PostgresServer;
  readonly #by: string;
  readonly #closed: () => void;
  readonly #queue: Request[] = [];
  /** Of a `begin`. */
  #tx: Tx | null = null;
  /** Of the statement under way, where it is a transaction of its own. */
  #single: Tx | null = null;
  #aborted = false;
  #busy = false;
  #over = false;
  #cancelTimer: () => void = () => undefined;
  #stopWaiting: () => void = () => undefined;

  constructor(server: PostgresServer, by: string, closed: () => void) {
    this.#server = server;
    this.#by = by;
    this.#closed = closed;
  }

  receive(request: Request): void {
    if (this.#over) return;
    this.#queue.push(request);
    if (!this.#busy) this.#next();
  }

  /** The connection is gone: everything uncommitted is undone. */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#cancelTimer();
    this.#stopWaiting();
    this.#tx?.rollback();
    this.#single?.rollback();
    this.#tx = null;
    this.#server.closed(this);
    this.#closed();
  }

  #next(): void {
    const request = this.#queue.shift();
    this.#cancelTimer();
    if (request === undefined) {
      this.#busy = false;
      if (this.#tx !== null) this.#timer(IDLE_IN_TRANSACTION_MS, "idle in transaction", () => this.end());
      return;
    }
    this.#busy = true;
    const { faults, chance } = this.#server;
    if (chance.happens(faults.lost)) return this.end();
    const delayMs =
      (this.#server.trap?.(request.name, this.#by) ?? 0) +
      chance.latency(WORK_MS) +
      (faults.slowMs === 0 ? 0 : chance.between(0, faults.slowMs));
    this.#timer(delayMs, request.name, () => this.#run(request));
  }

  #timer(delayMs: number, label: string, act: () => void): void {
    this.#cancelTimer = this.#server.kernel.after(delayMs, this.#server.process, label, () => {
      if (!this.#over) act();
    });
  }

  #run(request: Request): void {
    switch (request.kind) {
      case "begin":
        this.#tx = this.#newTx();
        return this.#answer(request, { ok: true, value: undefined });
      case "commit":
        return this.#commit(request);
      case "rollback":
        this.#tx?.rollback();
        this.#tx = null;
        this.#aborted = false;
        return this.#answer(request, { ok: true, value: undefined });
      case "statement":
        this.#single = this.#tx === null ? this.#newTx() : null;
        return this.#statement(request, this.#tx ?? (this.#single as Tx));
      default:
        return request.kind satisfies never;
    }
  }

  #newTx(): Tx {
    return this.#server.newTx(this.#by);
  }

  #statement(request: Request, tx: Tx, isAgain = false): void {
    if (this.#aborted) return this.#fail(request, tx, new DatabaseError("25P02", "current transaction is aborted"));
    if (isAgain) tx.beginAgain();
    else tx.beginStatement();
    let value: unknown;
    try {
      value = request.work(tx);
    } catch (error) {
      if (!(error instanceof MustWait)) {
        if (!(error instanceof DatabaseError)) this.#server.kernel.fail(error as Error);
        return this.#fail(request, tx, error as Error);
      }
      tx.undoStatement();
      return this.#wait(request, tx, error);
    }
    if (this.#tx === null) return this.#finish(request, tx, value);
    this.#answer(request, { ok: true, value });
  }

  #wait(request: Request, tx: Tx, { key, mode }: MustWait): void {
    const stop = this.#server.locks.wait(tx, key, mode, () => {
      this.#cancelTimer();
      this.#stopWaiting = () => undefined;
      this.#timer(0, `${request.name} goes on`, () => this.#statement(request, tx, true));
    });
    this.#stopWaiting = () => {
      this.#stopWaiting = () => undefined;
      stop();
    };
    this.#timer(LOCK_TIMEOUT_MS, `${request.name} waited for a lock`, () => {
      this.#stopWaiting();
      this.#fail(request, tx, new DatabaseError("55P03", `canceling statement due to lock timeout (${key})`));
    });
  }

  #fail(request: Request, tx: Tx, error: Error): void {
    this.#single = null;
    if (this.#tx === null) tx.rollback();
    else this.#aborted = true;
    this.#answer(request, { ok: false, error });
  }

  #commit(request: Request): void {
    const tx = this.#tx;
    this.#tx = null;
    if (tx === null) return this.#answer(request, { ok: true, value: undefined });
    if (this.#aborted) {
      // As PostgreSQL: the commit of an aborted transaction is a rollback.
      this.#aborted = false;
      tx.rollback();
      return this.#answer(request, { ok: true, value: undefined });
    }
    this.#finish(request, tx, undefined);
  }

  #finish(request: Request, tx: Tx, value: unknown): void {
    const { wrote } = tx;
    this.#single = null;
    const changes = tx.commit();
    this.#server.onCommit({ tx, changes });
    if (wrote && this.#server.chance.happens(this.#server.faults.commitUnknown)) return this.end();
    this.#answer(request, { ok: true, value });
  }

  #answer(request: Request, reply: Reply): void {
    request.reply(reply);
    this.#next();
  }
}
