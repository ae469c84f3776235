/** Tables in memory: each row has a committed version, and a pending one while a transaction has changed it. */
import type { Tx } from "./tx.ts";

export interface Cell<Row> {
  committed: Row | null;
  pending: Row | null;
  owner: Tx | null;
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
