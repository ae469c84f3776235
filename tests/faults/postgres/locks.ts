/** Row locks: shared or exclusive, first come first served, held to the end of the transaction. */
import type { Tx } from "./tx.ts";

export type LockMode = "share" | "exclusive";

interface Waiter {
  readonly tx: Tx;
  readonly mode: LockMode;
  readonly granted: () => void;
}

interface Lock {
  mode: LockMode;
  readonly holders: Set<Tx>;
  readonly waiters: Waiter[];
}

export class Locks {
  readonly #locks = new Map<string, Lock>();

  /** As PostgreSQL: a share lock joins other share locks at once, whoever waits to update. */
  tryTake(tx: Tx, key: string, mode: LockMode): boolean {
    const lock = this.#locks.get(key);
    if (lock === undefined || lock.holders.size === 0) {
      if (lock !== undefined && lock.waiters.length > 0 && lock.waiters[0]?.tx !== tx) return false;
      this.#hold(key, tx, mode);
      return true;
    }
    if (lock.holders.has(tx)) {
      if (mode === "share" || lock.mode === "exclusive") return true;
      if (lock.holders.size > 1) return false;
      lock.mode = "exclusive";
      return true;
    }
    if (mode === "exclusive" || lock.mode === "exclusive") return false;
    this.#hold(key, tx, mode);
    return true;
  }

  /** The answer takes the waiter out of the queue. */
  wait(tx: Tx, key: string, mode: LockMode, granted: () => void): () => void {
    const waiter = { tx, mode, granted };
    const lock = this.#lockOf(key);
    lock.waiters.push(waiter);
    return () => {
      const at = lock.waiters.indexOf(waiter);
      if (at >= 0) lock.waiters.splice(at, 1);
      this.#serve(key, lock);
    };
  }

  release(tx: Tx): void {
    for (const key of tx.locks) {
      const lock = this.#locks.get(key);
      if (lock === undefined) continue;
      lock.holders.delete(tx);
      this.#serve(key, lock);
    }
    tx.locks.clear();
  }

  #serve(key: string, lock: Lock): void {
    for (;;) {
      const [next] = lock.waiters;
      if (next === undefined) break;
      const mayJoin = lock.holders.size === 0 || (lock.mode === "share" && next.mode === "share");
      const upgrades = lock.holders.size === 1 && lock.holders.has(next.tx);
      if (!mayJoin && !upgrades) break;
      lock.waiters.shift();
      this.#hold(key, next.tx, next.mode);
      next.granted();
    }
    if (lock.holders.size === 0 && lock.waiters.length === 0) this.#locks.delete(key);
  }

  #hold(key: string, tx: Tx, mode: LockMode): void {
    const lock = this.#lockOf(key);
    lock.mode = lock.holders.size === 0 || mode === "exclusive" ? mode : lock.mode;
    lock.holders.add(tx);
    tx.locks.add(key);
  }

  #lockOf(key: string): Lock {
    const known = this.#locks.get(key);
    if (known !== undefined) return known;
    const lock: Lock = { mode: "share", holders: new Set(), waiters: [] };
    this.#locks.set(key, lock);
    return lock;
  }
}
