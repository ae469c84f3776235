/** The account's create slots in the object's own SQLite: they outlive evictions. Bounded in age and number. */
import { z } from "zod";
import { CreateKey } from "#protocol/id.ts";
import { type Slot, SLOT_MS } from "../core/create-slots.ts";

/** Above it the oldest goes, refused ones first: those are many when somebody runs into a limit, and matter least. */
const SLOTS_MAX = 10_000;

const Row = z
  .object({
    create_key: CreateKey,
    state: z.enum(["pending", "rejected", "created"]),
    retries: z.int(),
    at_ms: z.int(),
    handed_out: z.int(),
  })
  .transform(({ create_key: createKey, state, retries, at_ms: atMs, handed_out: handedOut }): Slot => {
    const slot = { createKey, retries, atMs };
    return state === "created" ? { ...slot, state, handedOut } : { ...slot, state };
  });

export class SlotStore {
  readonly #sql: SqlStorage;
  #isThere = false;

  constructor(sql: SqlStorage) {
    this.#sql = sql;
  }

  /** Those of one scope that are young enough. */
  of(scope: string, nowMs: number): readonly Slot[] {
    this.#makeTable();
    this.#sql.exec("delete from create_slot where at_ms <= ?", nowMs - SLOT_MS);
    return this.#read("select * from create_slot where scope = ?", scope);
  }

  find(createKey: CreateKey): Slot | null {
    this.#makeTable();
    return this.#read("select * from create_slot where create_key = ?", createKey)[0] ?? null;
  }

  /** New, or in place of what it was. */
  put(scope: string, slot: Slot): void {
    const { createKey, state, retries, atMs } = slot;
    const handedOut = slot.state === "created" ? slot.handedOut : 0;
    this.#sql.exec(
      "insert or replace into create_slot (create_key, scope, state, retries, at_ms, handed_out) values (?, ?, ?, ?, ?, ?)",
      createKey,
      scope,
      state,
      retries,
      atMs,
      handedOut,
    );
    this.#sql.exec(
      `delete from create_slot where (select count(*) from create_slot) > ? and create_key = (
        select create_key from create_slot order by state <> 'rejected', at_ms limit 1)`,
      SLOTS_MAX,
    );
  }

  change(slot: Slot): void {
    const handedOut = slot.state === "created" ? slot.handedOut : 0;
    this.#sql.exec(
      "update create_slot set state = ?, retries = ?, at_ms = ?, handed_out = ? where create_key = ?",
      slot.state,
      slot.retries,
      slot.atMs,
      handedOut,
      slot.createKey,
    );
  }

  remove(createKey: CreateKey): void {
    this.#sql.exec("delete from create_slot where create_key = ?", createKey);
  }

  #read(query: string, key: string): readonly Slot[] {
    return this.#sql
      .exec(query, key)
      .toArray()
      .map((row) => Row.parse(row));
  }

  #makeTable(): void {
    if (this.#isThere) return;
    this.#sql.exec(`
      create table if not exists create_slot (
        create_key text primary key, scope text not null, state text not null, retries integer not null,
        at_ms integer not null, handed_out integer not null
      ) without rowid;
      create index if not exists create_slot_by_scope on create_slot (scope);
      create index if not exists create_slot_by_age on create_slot (at_ms)`);
    this.#isThere = true;
  }
}
