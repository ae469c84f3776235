/** Applies `migrations/` in order, once, however many replicas start together: drizzle's `migrate` takes no lock of its own. */
import { fileURLToPath } from "node:url";
import postgres from "postgres";
import { drizzle, migrator } from "./drizzle.ts";

/** Any constant will do; it only has to be the same in every replica. */
const MIGRATION_LOCK = 7_201_519;

const MIGRATIONS_FOLDER = fileURLToPath(new URL("../../migrations", import.meta.url));

export async function migrate(databaseUrl: string): Promise<void> {
  // One connection, so that the session-level lock and the migrations share it.
  const client = postgres(databaseUrl, { max: 1, onnotice: () => {} });
  try {
    await client`select pg_advisory_lock(${MIGRATION_LOCK})`;
    await migrator().migrate(drizzle({ client }), { migrationsFolder: MIGRATIONS_FOLDER });
  } finally {
    await client.end({ timeout: 5 });
  }
}
