/**
 * A real PostgreSQL for a run: the embedded one in a folder of its own, or another server that is named.
 *
 * The embedded server and its folder are gone after the run, also when the process is killed: the guard sees to it.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "#cli/free-port.ts";
import { Guard } from "#cli/guard.ts";
import { databaseUrl, startPostgres } from "#cli/postgres.ts";

/**
 * `CALLSHEET_TEST_DATABASE_URL` names another server; its user must be allowed to create databases. `durable`: with fsync, as in
 * production.
 */
export async function openServer({ durable = false }: { readonly durable?: boolean } = {}): Promise<{
  readonly url: string;
  close(): Promise<void>;
}> {
  const given = process.env["CALLSHEET_TEST_DATABASE_URL"];
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
    durable,
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
