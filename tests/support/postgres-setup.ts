/**
 * Vitest's global setup for database tests: one real PostgreSQL for the run, with a migrated template database.
 *
 * `CALLSHEET_TEST_DATABASE_URL` uses another server (its user must be allowed to create databases). The embedded server
 * and its folder are gone after the run, also when vitest is killed: the guard sees to it.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { freePort } from "#cli/free-port.ts";
import { Guard } from "#cli/guard.ts";
import { databaseUrl, startPostgres } from "#cli/postgres.ts";
import { migrate } from "#control-plane/db/migrate.ts";
import { onServer } from "./postgres.ts";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await openServer(process.env["CALLSHEET_TEST_DATABASE_URL"]);
  const template = `callsheet_template_${randomBytes(4).toString("hex")}`;
  try {
    await onServer(server.url, (sql) => sql`create database ${sql(template)}`);
    const templateUrl = new URL(server.url);
    templateUrl.pathname = `/${template}`;
    await migrate(templateUrl.href);
  } catch (error) {
    await server.close();
    throw error;
  }
  project.provide("databaseServer", { url: server.url, template });
  return async () => {
    await onServer(server.url, (sql) => sql`drop database if exists ${sql(template)} with (force)`);
    await server.close();
  };
}

async function openServer(given: string | undefined): Promise<{ readonly url: string; close(): Promise<void> }> {
  if (given !== undefined && given !== "") return { url: given, close: async () => undefined };
  const folder = await mkdtemp(join(tmpdir(), "callsheet-test-"));
  const guard = new Guard();
  guard.removeAfterwards(folder);
  const password = randomBytes(12).toString("hex");
  const port = await freePort();
  const server = await startPostgres({
    dataDir: join(folder, "data"),
    logFile: join(folder, "postgres.log"),
    port,
    password,
    durable: false,
    guard,
    database: "callsheet",
  });
  if (server.site.way === "copy") guard.removeAfterwards(join(server.site.dataDir, "../.."));
  return {
    url: databaseUrl({ port, password }, "postgres"),
    close: async () => {
      await server.stop();
      await guard.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
