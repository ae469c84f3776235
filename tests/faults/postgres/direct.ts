/** The model without a network: one session, each statement at once. */
import type { Transaction } from "#control-plane/db/connect.ts";
import type { Process } from "../kernel/process.ts";
import type { PostgresServer } from "./server.ts";
import { DatabaseError } from "./tx.ts";
import type { Tx } from "./tx.ts";

export class DirectSql {
  readonly process: Process;
  readonly #server: PostgresServer;

  constructor(server: PostgresServer) {
    this.#server = server;
    this.process = server.process;
  }

  async begin<Result>(work: (tx: Transaction) => Promise<Result>): Promise<Result> {
    const tx = this.#server.newTx("direct");
    try {
      const result = await work(new DirectTransaction(tx, this.process) as unknown as Transaction);
      tx.commit();
      return result;
    } catch (error) {
      tx.rollback();
      throw error;
    }
  }

  ask<Value>(_name: string, work: (tx: Tx) => Value): Promise<Value> {
    return this.begin((tx) => (tx as unknown as DirectTransaction).ask(_name, work));
  }
}

class DirectTransaction {
  readonly process: Process;
  readonly #tx: Tx;
  #aborted = false;

  constructor(tx: Tx, process: Process) {
    this.#tx = tx;
    this.process = process;
  }

  async ask<Value>(_name: string, work: (tx: Tx) => Value): Promise<Value> {
    if (this.#aborted) throw new DatabaseError("25P02", "current transaction is aborted");
    this.#tx.beginStatement();
    try {
      return work(this.#tx);
    } catch (error) {
      this.#aborted = true;
      throw error;
    }
  }
}
