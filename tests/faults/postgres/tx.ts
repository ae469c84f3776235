/**
 * One transaction: what it sees (its own changes, else what is committed), what it locked, what it changed.
 *
 * A statement is a plain function over this. If it needs a row that another transaction holds, it is undone, waits, and is
 * run again: it sees then what was committed meanwhile. (PostgreSQL looks again at the row it waited for, and keeps its old
 * snapshot of all others; a statement here may see more.)
 */
import type { Locks, LockMode } from "./locks.ts";
import type { Cell, Change, Table } from "./table.ts";

export class DatabaseError extends Error {
  override readonly name = "PostgresError";
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Thrown through a statement that must wait. */
export class MustWait extends Error {
  override readonly name = "MustWait";
  readonly key: string;
  readonly mode: LockMode;
  constructor(key: string, mode: LockMode) {
    super(`must wait for ${key}`);
    this.key = key;
    this.mode = mode;
  }
}

interface Undo {
  readonly cell: Cell<unknown>;
  readonly pending: unknown;
  readonly wasOwned: boolean;
}

/** A claim that a write was accepted for a lease; the checker knows whether that could be. */
export interface Accepted {
  readonly what: "progress" | "checkpoint" | "renewal" | "placement";
  readonly job: string;
  readonly epoch: number;
}

export class Tx {
  readonly locks = new Set<string>();
  readonly accepted: Accepted[] = [];
  /** It has checked that this epoch leads. */
  ledBy: number | null = null;
  /** Whose connection it is, for the checker. */
  readonly by: string;
  /** `now()`: when it began. */
  readonly now: Date;
  readonly clock: () => Date;
  readonly #locks: Locks;
  readonly #cells = new Map<Cell<unknown>, { readonly table: Table<unknown>; readonly key: string }>();
  #undo: Undo[] = [];

  constructor(locks: Locks, by: string, clock: () => Date) {
    this.#locks = locks;
    this.by = by;
    this.clock = clock;
    this.now = clock();
  }

  get wrote(): boolean {
    return this.#cells.size > 0;
  }

  get<Row>(table: Table<Row>, key: string): Row | null {
    const cell = table.cells.get(key);
    if (cell === undefined) return null;
    return cell.owner === this ? cell.pending : cell.committed;
  }

  *rows<Row>(table: Table<Row>): Generator<Row> {
    for (const cell of table.cells.values()) {
      const row = cell.owner === this ? cell.pending : cell.committed;
      if (row !== null) yield row;
    }
  }

  *entries<Row>(table: Table<Row>): Generator<readonly [string, Row]> {
    for (const [key, cell] of table.cells) {
      const row = cell.owner === this ? cell.pending : cell.committed;
      if (row !== null) yield [key, row];
    }
  }

  lock(table: { readonly name: string }, key: string, mode: LockMode = "exclusive"): void {
    const name = `${table.name} ${key}`;
    if (!this.#locks.tryTake(this, name, mode)) throw new MustWait(name, mode);
  }

  /** For `skip locked`. */
  tryLock(table: { readonly name: string }, key: string): boolean {
    return this.#locks.tryTake(this, `${table.name} ${key}`, "exclusive");
  }

  /** Inserts or replaces; null deletes. Waits for whoever has changed the row. */
  put<Row>(table: Table<Row>, key: string, row: NoInfer<Row> | null): void {
    this.lock(table, key);
    const broken = row === null ? null : table.checkOf(row);
    if (broken !== null) throw new DatabaseError("23514", `new row for "${table.name}" violates "${broken}"`);
    const cell: Cell<Row> = table.cells.get(key) ?? { committed: null, pending: null, owner: null };
    table.cells.set(key, cell);
    this.#undo.push({ cell: cell as Cell<unknown>, pending: cell.pending, wasOwned: cell.owner === this });
    this.#cells.set(cell as Cell<unknown>, { table: table as unknown as Table<unknown>, key });
    cell.owner = this;
    cell.pending = row;
  }

  insert<Row>(table: Table<Row>, key: string, row: NoInfer<Row>): void {
    this.lock(table, key);
    if (this.get(table, key) !== null) {
      throw new DatabaseError("23505", `duplicate key ${key} violates unique constraint of "${table.name}"`);
    }
    this.put(table, key, row);
  }

  beginStatement(): void {
    this.#undo = [];
  }

  undoStatement(): void {
    for (const { cell, pending, wasOwned } of this.#undo.toReversed()) {
      cell.pending = pending;
      if (wasOwned) continue;
      cell.owner = null;
      this.#forget(cell);
    }
    this.#undo = [];
  }

  commit(): readonly Change[] {
    const changes: Change[] = [];
    for (const [cell, { table, key }] of this.#cells) {
      changes.push({ table: table.name, key, before: cell.committed, after: cell.pending });
      cell.committed = cell.pending;
      cell.pending = null;
      cell.owner = null;
      if (cell.committed === null) table.cells.delete(key);
    }
    this.#cells.clear();
    this.#locks.release(this);
    return changes;
  }

  rollback(): void {
    for (const cell of this.#cells.keys()) {
      cell.pending = null;
      cell.owner = null;
      this.#forget(cell);
    }
    this.#cells.clear();
    this.#locks.release(this);
  }

  #forget(cell: Cell<unknown>): void {
    const place = this.#cells.get(cell);
    this.#cells.delete(cell);
    if (cell.committed === null && place !== undefined) place.table.cells.delete(place.key);
  }
}
