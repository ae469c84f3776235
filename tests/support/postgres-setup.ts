/**
 * Vitest's global setup for database tests: one real PostgreSQL for the run, with a migrated template database.
 */
import { randomBytes } from "node:crypto";
import type { TestProject } from "vitest/node";
import { migrate } from "#control-plane/db/migrate.ts";
import { openServer } from "./own-postgres.ts";
import { onServer } from "./postgres.ts";

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await openServer();
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
