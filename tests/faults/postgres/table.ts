/** Tables in memory: each row has a committed version, and a pending one while a transaction has changed it. */
import type { Tx } from "./tx.ts";

/** What was committed before, up to which commit. */
interface Version<Row> {
  readonly row: Row | null;
  readonly until: number;
}

/** Old versions kept of a row: more than were ever committed while one statement waited for a lock. */
const VERSIONS_MAX = 64;

export interface Cell<Row> {
  committed: Row | null;
  /** Oldest first. */
  readonly past: Version<Row>[];
  pending: Row | null;
  owner: Tx | null;
}

export function emptyCell<Row>(): Cell<Row> {
  return { committed: null, past: [], pending: null, owner: null };
}

/** As it was after that commit. */
export function versionAt<Row>(cell: Cell<Row>, commit: number): Row | null {
  for (const { row, until } of cell.past) if (until > commit) return row;
  return cell.committed;
}

export function supersede<Row>(cell: Cell<Row>, row: Row | null, commit: number): void {
  cell.past.push({ row: cell.committed, until: commit });
  if (cell.past.length > VERSIONS_MAX) cell.past.shift();
  cell.committed = row;
}

export class Table<Row> {
  readonly name: string;
  readonly cells = new Map<string, Cell<Row>>();
  /** Says which rule a row breaks; null: none. As the CHECKs of the schema. */
  readonly checkOf: (row: Row) => string | null;

  constructor(name: string, checkOf: (row: Row) => string | null = () => null) {
    this.name = name;
    this.checkOf = checkOf;
  }

  /** What everybody may know. */
  *committed(): Generator<Row> {
    for (const { committed } of this.cells.values()) if (committed !== null) yield committed;
  }

  get(key: string): Row | null {
    return this.cells.get(key)?.committed ?? null;
  }
}

export interface Change {
  readonly table: string;
  readonly key: string;
  readonly before: unknown;
  readonly after: unknown;
}
