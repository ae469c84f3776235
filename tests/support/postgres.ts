/** A database of one's own for a test file, cloned in milliseconds from the migrated template. */
import { randomBytes } from "node:crypto";
import postgres from "postgres";
import { inject } from "vitest";

declare module "vitest" {
  interface ProvidedContext {
    readonly databaseServer: { readonly url: string; readonly template: string };
  }
}

export interface TestDatabase {
  readonly url: string;
  /** Ends every connection to it and removes it. */
  drop(): Promise<void>;
}

export function createTestDatabase(): Promise<TestDatabase> {
  return createFrom(inject("databaseServer").template);
}

/** Before any migration. */
export function createEmptyDatabase(): Promise<TestDatabase> {
  return createFrom("template0");
}

async function createFrom(template: string): Promise<TestDatabase> {
  const { url } = inject("databaseServer");
  const name = `test_${randomBytes(6).toString("hex")}`;
  await onServer(url, (sql) => sql`create database ${sql(name)} template ${sql(template)}`);
  const own = new URL(url);
  own.pathname = `/${name}`;
  return {
    url: own.href,
    drop: () => onServer(url, (sql) => sql`drop database if exists ${sql(name)} with (force)`),
  };
}

/** One statement over a connection of its own to the maintenance database. */
export async function onServer(url: string, statement: (sql: postgres.Sql) => Promise<unknown>): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    await statement(sql);
  } finally {
    await sql.end();
  }
}
