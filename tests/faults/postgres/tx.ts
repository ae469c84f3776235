/**
 * One transaction: what it sees (its own changes, else what is committed), what it locked, what it changed.
 *
 * A statement is a plain function over this. It sees what was committed when it began, and the newest version of rows that it
 * has locked. If it needs a row that another transaction holds, it is undone, waits, and is run again with the snapshot it
 * had: as under READ COMMITTED, only the rows it waited for are looked at anew.
 */
import type { Locks, LockMode } from "./locks.ts";
import { emptyCell, supersede, versionAt } from "./table.ts";
import type { Cell, Change, Table } from "./table.ts";

/** The number of the last commit. */
export interface Commits {
  last: number;
}

/** Of a deleted row an old snapshot still sees what it was; where keys never come again, nobody looks. */
const KEPT_WHEN_DELETED: ReadonlySet<string> = new Set([
  "device_claim",
  "attempt_one_open_per_job",
  "edge_subscription",
]);

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
  readonly #commits: Commits;
  #snapshot: number;
  readonly #cells = new Map<Cell<unknown>, { readonly table: Table<unknown>; readonly key: string }>();
  #undo: Undo[] = [];

  constructor(locks: Locks, commits: Commits, by: string, clock: () => Date) {
    this.#locks = locks;
    this.#commits = commits;
    this.#snapshot = commits.last;
    this.by = by;
    this.clock = clock;
    this.now = clock();
  }

  get wrote(): boolean {
    return this.#cells.size > 0;
  }

  get<Row>(table: Table<Row>, key: string): Row | null {
    const cell = table.cells.get(key);
    return cell === undefined ? null : this.#seen(table, key, cell);
  }

  *rows<Row>(table: Table<Row>): Generator<Row> {
    for (const [, row] of this.entries(table)) yield row;
  }

  *entries<Row>(table: Table<Row>): Generator<readonly [string, Row]> {
    for (const [key, cell] of table.cells) {
      const row = this.#seen(table, key, cell);
      if (row !== null) yield [key, row];
    }
  }

  /** As a subquery sees it: what was committed when the statement began, whatever it has waited for since. */
  *snapshot<Row>(table: Table<Row>): Generator<Row> {
    for (const cell of table.cells.values()) {
      const row = cell.owner === this ? cell.pending : versionAt(cell, this.#snapshot);
      if (row !== null) yield row;
    }
  }

  #seen<Row>(table: Table<Row>, key: string, cell: Cell<Row>): Row | null {
    if (cell.owner === this) return cell.pending;
    if (cell.past.length === 0 || this.locks.has(`${table.name} ${key}`)) return cell.committed;
    return versionAt(cell, this.#snapshot);
  }

  /** For a function of the database: what follows is a statement of its own, and sees what is committed by now. */
  nextSnapshot(): void {
    this.#snapshot = this.#commits.last;
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
    const cell: Cell<Row> = table.cells.get(key) ?? emptyCell();
    table.cells.set(key, cell);
    this.#undo.push({ cell, pending: cell.pending, wasOwned: cell.owner === this });
    this.#cells.set(cell, { table: table as unknown as Table<unknown>, key });
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
    this.nextSnapshot();
  }

  /** After a wait: with the snapshot it had. */
  beginAgain(): void {
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
    const commit = ++this.#commits.last;
    for (const [cell, { table, key }] of this.#cells) {
      changes.push({ table: table.name, key, before: cell.committed, after: cell.pending });
      supersede(cell, cell.pending, commit);
      cell.pending = null;
      cell.owner = null;
      if (cell.committed === null && !KEPT_WHEN_DELETED.has(table.name)) table.cells.delete(key);
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
    if (cell.committed === null && cell.past.length === 0) place?.table.cells.delete(place.key);
  }
}
