/** The embedded server, for the user who runs the tests (and, as root, for both ways in which root can run it). */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tmpdir } from "node:os";
import postgres from "postgres";
import { afterEach, describe, expect, test } from "vitest";
import { freePort } from "#cli/free-port.ts";
import { startPostgres, type PostgresOptions } from "#cli/postgres.ts";
import { findPostgresSite, type PostgresWay } from "#cli/postgres-site.ts";
import { isAlive } from "#cli/process-table.ts";

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function options(way?: PostgresWay): Promise<PostgresOptions> {
  const folder = mkdtempSync(join(tmpdir(), "callsheet test ")); // 0700, and a blank in the name
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  return {
    dataDir: join(folder, "data"),
    logFile: join(folder, "postgres.log"),
    port: await freePort(),
    password: "with / odd ' characters",
    durable: false,
    guard: null,
    database: "callsheet",
    ...(way === undefined ? {} : { way }),
  };
}

async function start(chosen: PostgresOptions) {
  const server = await startPostgres(chosen);
  cleanups.push(() => server.stop());
  if (server.site.way === "copy") {
    cleanups.push(() => rmSync(join(server.site.dataDir, "..", ".."), { recursive: true, force: true }));
  }
  return server;
}

async function ask(url: string, question: string): Promise<unknown> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    return (await sql.unsafe(question))[0];
  } finally {
    await sql.end();
  }
}

const root = process.getuid?.() === 0;
const chosen = root ? (await findPostgresSite(join(tmpdir(), "callsheet-probe"))).way : "direct";

describe.each(root ? [...new Set([chosen, "copy" as const])] : [chosen])("PostgreSQL run the %s way", (way) => {
  test("starts under a 0700 folder, keeps what was committed over a kill -9, and leaves nothing when stopped", async () => {
    const settings = await options(way);
    const first = await start(settings);
    await ask(first.url, "create table kept (n int); insert into kept values (7);");
    process.kill(first.pid, "SIGKILL");
    expect(await first.exited).toContain("SIGKILL");

    const second = await start(settings);
    expect(await ask(second.url, "select n from kept")).toEqual({ n: 7 });
    await second.stop();
    expect(isAlive(second.pid)).toBe(false);
  });

  test("ends a server that a killed supervisor left over the same data", async () => {
    const settings = await options(way);
    const leftover = await start(settings);
    const next = await start(settings);
    expect(isAlive(leftover.pid)).toBe(false);
    expect(await ask(next.url, "select 1 as n")).toEqual({ n: 1 });
  });
});

test("a stale pid file that names a living stranger does not keep the server from starting, nor harm the stranger", async () => {
  const settings = await options();
  const first = await start(settings);
  const pidFile = join(first.site.dataDir, "postmaster.pid");
  const content = readFileSync(pidFile, "utf8");
  await first.stop();
  writeFileSync(pidFile, content.replace(/^\d+/, String(process.pid)));
  const second = await start(settings);
  expect(await ask(second.url, "select 1 as n")).toEqual({ n: 1 });
});

test("takes no connection without the password", async () => {
  const server = await start(await options());
  const stranger = new URL(server.url);
  stranger.password = "guess";
  await expect(ask(stranger.href, "select 1")).rejects.toThrow(/password authentication failed/);
});

test("says where to look when the server cannot start", async () => {
  const settings = await options();
  const server = await start(settings);
  await server.stop();
  writeFileSync(join(server.site.dataDir, "postgresql.conf"), "nonsense = 1\n");
  await expect(startPostgres(settings)).rejects.toThrow(settings.logFile);
});
