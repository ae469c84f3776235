/**
 * drizzle, by its CommonJS build. Node's loader of ES modules reads the package's manifest of 180 kB again for each of its 120
 * files: 0.6 to 1 s of CPU at every start of a control plane, against 0.1 s this way. Everybody takes drizzle from here.
 */
import { createRequire } from "node:module";

// drizzle-kit compiles the schema to CommonJS, where there is no `import.meta.url`; it has a path instead.
const load = createRequire(import.meta.url ?? __filename);
const orm: typeof import("drizzle-orm") = load("drizzle-orm");
const core: typeof import("drizzle-orm/pg-core") = load("drizzle-orm/pg-core");
const driver: typeof import("drizzle-orm/postgres-js") = load("drizzle-orm/postgres-js");

export type { AnyPgColumn } from "drizzle-orm/pg-core";
export const { and, count, eq, isNull, sql } = orm;
export const { drizzle } = driver;
export const {
  bigint,
  bigserial,
  boolean,
  check,
  doublePrecision,
  foreignKey,
  index,
  integer,
  jsonb,
  pgEnum,
  pgTable,
  primaryKey,
  text,
  timestamp,
  unique,
  uniqueIndex,
} = core;

/** Only where there is something to migrate. */
export function migrator(): typeof import("drizzle-orm/postgres-js/migrator") {
  return load("drizzle-orm/postgres-js/migrator");
}
