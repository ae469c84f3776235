/** Opens transactions; only usecases call it. A deadlock or lock time-out rolls everything back, so it is safe to run again. */
import type { Sql, Transaction } from "./connect.ts";

const TRIES_MAX = 4;
/** serialization_failure, deadlock_detected, lock_not_available. */
const RETRYABLE = new Set(["40001", "40P01", "55P03"]);

/** Runs `work` in one transaction; an error that only means "somebody else was first" is tried again. */
export async function inTransaction<Result>(sql: Sql, work: (tx: Transaction) => Promise<Result>): Promise<Result> {
  // `begin` resolves with what `work` returned; its type unwraps arrays of promises, which no work returns.
  return orAgain(async () => (await sql.begin(work)) as Result);
}

/** The same for a single statement, which is a transaction of its own. */
export function inOneStatement<Result>(statement: () => Promise<Result>): Promise<Result> {
  return orAgain(statement);
}

async function orAgain<Result>(work: () => Promise<Result>): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await work();
    } catch (error) {
      if (tries >= TRIES_MAX || !RETRYABLE.has(codeOf(error))) throw error;
    }
  }
}

/** The SQLSTATE of a database error, else the empty text. */
export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}
