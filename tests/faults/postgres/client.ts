/**
 * What a replica gets in place of the driver: a pool of connections, `begin`, and statements. Only the statement modules of
 * this folder's neighbour know that a statement is a function here.
 */
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import { SILENCE_MS_MAX } from "#control-plane/db/watched-socket.ts";
import type { Process } from "../kernel/process.ts";
import type { Network, Wire } from "../world/network.ts";
import type { Backend, PostgresServer, Request } from "./server.ts";
import { DatabaseError } from "./tx.ts";
import type { Tx } from "./tx.ts";

const CONNECTIONS_MAX = 10;
const REFUSED_AFTER_MS = 5;

export interface Postgres {
  readonly server: PostgresServer;
  readonly network: Network;
}

/** A connection of a replica. */
class Connection {
  over = false;
  readonly #process: Process;
  readonly #network: Network;
  readonly #there: Wire;
  readonly #back: Wire;
  readonly #backend: Backend;
  readonly #pending = new Set<(error: Error) => void>();
  readonly #hangUp = (): void => {
    // The server's kernel hears that the peer is gone.
    this.#network.carry(this.#there, "client gone", () => this.#backend.end());
  };

  constructor({ server, network }: Postgres, process: Process) {
    this.#process = process;
    this.#network = network;
    this.#there = network.wire(process, server.process);
    this.#back = network.wire(server.process, process);
    this.#backend = server.connect(process.label, () =>
      network.carry(this.#back, "connection closed", () => this.#close()),
    );
    process.onDeath.add(this.#hangUp);
    // A server that dies takes its connections along; the client's kernel is told when it is back, or at once.
    server.process.onDeath.add(() => process.clock.after(1, () => this.#close()));
  }

  ask<Value>(name: string, kind: Request["kind"], work: (tx: Tx) => Value): Promise<Value> {
    const { promise, resolve, reject } = Promise.withResolvers<Value>();
    if (this.over) {
      reject(closedError());
      return promise;
    }
    this.#pending.add(reject);
    // As `watched-socket.ts`: a server that says nothing for so long is given up.
    const hearing = this.#process.clock.after(SILENCE_MS_MAX, () => this.#close());
    const request: Request = {
      name,
      kind,
      work,
      reply: (reply) =>
        this.#network.carry(this.#back, `${name} done`, () => {
          hearing();
          this.#pending.delete(reject);
          if (reply.ok) resolve(reply.value as Value);
          else reject(reply.error);
        }),
    };
    this.#network.carry(this.#there, `ask ${name}`, () => this.#backend.receive(request));
    return promise;
  }

  #close(): void {
    if (this.over) return;
    this.over = true;
    this.#process.onDeath.delete(this.#hangUp);
    const pending = [...this.#pending];
    this.#pending.clear();
    for (const reject of pending) reject(closedError());
  }
}

function closedError(): Error {
  return new DatabaseError("CONNECTION_CLOSED", "the connection to the database was closed");
}

export class SimulatedSql {
  readonly process: Process;
  readonly #postgres: Postgres;
  readonly #idle: Connection[] = [];
  readonly #waiting: ((connection: Connection) => void)[] = [];
  #open = 0;

  constructor(postgres: Postgres, process: Process) {
    this.#postgres = postgres;
    this.process = process;
  }

  async begin<Result>(work: (tx: Transaction) => Promise<Result>): Promise<Result> {
    const connection = await this.#take();
    try {
      await connection.ask("begin", "begin", () => undefined);
      let result: Result;
      try {
        result = await work(new SimulatedTransaction(connection, this.process) as unknown as Transaction);
      } catch (error) {
        await connection.ask("rollback", "rollback", () => undefined);
        throw error;
      }
      await connection.ask("commit", "commit", () => undefined);
      return result;
    } finally {
      this.#give(connection);
    }
  }

  async ask<Value>(name: string, work: (tx: Tx) => Value): Promise<Value> {
    const connection = await this.#take();
    try {
      return await connection.ask(name, "statement", work);
    } finally {
      this.#give(connection);
    }
  }

  #take(): Promise<Connection> {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (!idle.over) return Promise.resolve(idle);
      this.#open--;
    }
    if (this.#open >= CONNECTIONS_MAX) return new Promise((resolve) => this.#waiting.push(resolve));
    if (!this.#postgres.server.process.alive) {
      const { promise, reject } = Promise.withResolvers<Connection>();
      this.process.clock.after(REFUSED_AFTER_MS, () => reject(new DatabaseError("ECONNREFUSED", "connection refused")));
      return promise;
    }
    this.#open++;
    return Promise.resolve(new Connection(this.#postgres, this.process));
  }

  #give(connection: Connection): void {
    if (connection.over) {
      this.#open--;
      const waiter = this.#waiting.shift();
      if (waiter !== undefined) {
        this.#open++;
        waiter(new Connection(this.#postgres, this.process));
      }
      return;
    }
    const waiter = this.#waiting.shift();
    if (waiter === undefined) this.#idle.push(connection);
    else waiter(connection);
  }
}

export class SimulatedTransaction {
  readonly process: Process;
  readonly #connection: Connection;

  constructor(connection: Connection, process: Process) {
    this.#connection = connection;
    this.process = process;
  }

  ask<Value>(name: string, work: (tx: Tx) => Value): Promise<Value> {
    return this.#connection.ask(name, "statement", work);
  }
}

/** How a statement module runs one. */
export function statement<Value>(sql: Sql | Transaction, name: string, work: (tx: Tx) => Value): Promise<Value> {
  return (sql as unknown as SimulatedSql | SimulatedTransaction).ask(name, work);
}
