/**
 * A real PostgreSQL server for one machine: made once with `initdb`, run as a direct child on loopback, stopped fast.
 *
 * Promises: a data folder is either whole or absent (made beside its place and renamed); a server left over from a killed
 * run is ended first; `startPostgres` resolves when a query was answered; `stop` resolves when the process is gone.
 */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { chown, mkdir, readFile, rename, rm, unlink, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import postgres from "postgres";
import type { Guard } from "./guard.ts";
import { findPostgresSite, SERVER_ENV, type PostgresSite, type PostgresWay } from "./postgres-site.ts";
import { commandOf, isAlive, signalQuietly } from "./process-table.ts";

const USER = "callsheet";
const MAJOR = "18";
const READY_MS = 30_000;
const CONNECT_POLL_MS = 40;
const STOP_MS = 5_000;
/** A killed server's backends need a moment to leave the shared memory the next one wants. */
const START_ATTEMPTS_MAX = 20;
const START_RETRY_MS = 250;

export interface PostgresOptions {
  readonly dataDir: string;
  readonly port: number;
  readonly password: string;
  readonly logFile: string;
  /** false: an operating-system crash may lose data (tests). A killed process never does. */
  readonly durable: boolean;
  readonly guard: Guard | null;
  /** Created if missing. */
  readonly database: string;
  readonly way?: PostgresWay;
}

export interface RunningPostgres {
  readonly pid: number;
  readonly url: string;
  readonly site: PostgresSite;
  /** Resolves with a sentence when the process has ended, for whatever reason. */
  readonly exited: Promise<string>;
  stop(): Promise<void>;
  kill(): void;
}

export async function startPostgres(options: PostgresOptions): Promise<RunningPostgres> {
  const site = await findPostgresSite(options.dataDir, options.way);
  if (!(await isCluster(site.dataDir))) await makeCluster(site, options.password);
  await endLeftover(site.dataDir);
  for (let attempt = 1; ; attempt++) {
    const server = spawnServer(site, options);
    const url = databaseUrl(options, options.database);
    try {
      await Promise.race([ready(options), server.exited.then((why) => Promise.reject(new Error(why)))]);
      return { ...server, url, site };
    } catch (cause) {
      await server.stop();
      if (attempt >= START_ATTEMPTS_MAX || !(await isPassing(options.logFile))) {
        throw new Error(`PostgreSQL did not start; its log is ${options.logFile}.`, { cause });
      }
      await sleep(START_RETRY_MS);
    }
  }
}

export function databaseUrl(options: { readonly port: number; readonly password: string }, database: string): string {
  return `postgres://${USER}:${encodeURIComponent(options.password)}@127.0.0.1:${options.port}/${database}`;
}

async function isCluster(dataDir: string): Promise<boolean> {
  const version = await readFile(`${dataDir}/PG_VERSION`, "utf8").catch(() => null);
  if (version === null) return false;
  if (version.trim() === MAJOR) return true;
  throw new Error(
    `${dataDir} belongs to PostgreSQL ${version.trim()}, this is ${MAJOR}. Move it away to start afresh.`,
  );
}

async function makeCluster(site: PostgresSite, password: string): Promise<void> {
  const unfinished = `${site.dataDir}.new`;
  const passwordFile = `${site.dataDir}.password`;
  await mkdir(dirname(site.dataDir), { recursive: true });
  await rm(unfinished, { recursive: true, force: true });
  await writeFile(passwordFile, password, { mode: 0o600 });
  if (site.owner !== null) await chown(passwordFile, site.owner.uid, site.owner.gid);
  try {
    const [command = "", ...prefix] = site.initdb;
    const made = spawnSync(
      command,
      [
        ...prefix,
        "-D",
        unfinished,
        "-U",
        USER,
        "--pwfile",
        passwordFile,
        "-A",
        "scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
      ],
      { env: SERVER_ENV, cwd: "/", encoding: "utf8", ...site.owner },
    );
    if (made.status !== 0) throw new Error(`initdb failed: ${made.error?.message ?? made.stderr}`);
    await rename(unfinished, site.dataDir);
  } finally {
    await unlink(passwordFile);
  }
}

/** Ends a server that outlived its supervisor and clears a pid file that names someone else's process by now. */
async function endLeftover(dataDir: string): Promise<void> {
  const pidFile = `${dataDir}/postmaster.pid`;
  const pid = Number((await readFile(pidFile, "utf8").catch(() => "")).split("\n")[0]);
  if (!Number.isInteger(pid) || pid <= 1) return;
  if (isAlive(pid) && (commandOf(pid) ?? "").includes(dataDir)) {
    signalQuietly(pid, "SIGINT");
    const deadline = Date.now() + STOP_MS;
    while (isAlive(pid) && Date.now() < deadline) await sleep(CONNECT_POLL_MS);
    signalQuietly(pid, "SIGKILL");
  }
  await rm(pidFile, { force: true });
}

function spawnServer(site: PostgresSite, options: PostgresOptions): Omit<RunningPostgres, "url" | "site"> {
  const durability = options.durable ? [] : ["fsync=off", "full_page_writes=off"];
  const settings = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=200",
    "shared_buffers=64MB",
    "jit=off",
    "log_min_messages=warning",
    // What a failed statement was about, rows and all, is for no log.
    "log_error_verbosity=terse",
    "log_min_error_statement=panic",
    "log_line_prefix=%m [%p] ",
    ...durability,
  ].flatMap((setting) => ["-c", setting]);
  const log = openSync(options.logFile, "a");
  const [command = "", ...prefix] = site.postgres;
  const child = spawn(command, [...prefix, "-D", site.dataDir, "-p", String(options.port), ...settings], {
    detached: true,
    env: SERVER_ENV,
    cwd: "/",
    stdio: ["ignore", log, log],
    ...site.owner,
  });
  closeSync(log);
  return watchServer(child, options.guard);
}

function watchServer(child: ChildProcess, guard: Guard | null): Omit<RunningPostgres, "url" | "site"> {
  const { promise: exited, resolve } = Promise.withResolvers<string>();
  const pid = child.pid ?? 0;
  if (pid !== 0) guard?.watch(pid, "SIGINT");
  child.once("error", (error) => resolve(`PostgreSQL could not be run: ${error.message}`));
  child.once("exit", (code, signal) => {
    guard?.forget(pid);
    resolve(`PostgreSQL ended (${signal ?? `code ${code}`})`);
  });
  return {
    pid,
    exited,
    kill: () => child.kill("SIGKILL"),
    stop: async () => {
      child.kill("SIGINT"); // fast shutdown: roll back, disconnect, checkpoint
      const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** Resolves when the server answers and holds `database`. */
async function ready(options: PostgresOptions): Promise<void> {
  const deadline = Date.now() + READY_MS;
  for (;;) {
    const sql = postgres(databaseUrl(options, "postgres"), { max: 1, connect_timeout: 2, onnotice: () => undefined });
    try {
      const found = await sql`select 1 from pg_database where datname = ${options.database}`;
      if (found.length === 0) await sql`create database ${sql(options.database)}`;
      return;
    } catch (error) {
      if (isWrongPassword(error) || Date.now() > deadline) throw error;
      await sleep(CONNECT_POLL_MS);
    } finally {
      await sql.end({ timeout: 1 });
    }
  }
}

function isWrongPassword(error: unknown): boolean {
  return error instanceof postgres.PostgresError && error.code === "28P01";
}

/** Whether the last thing in the log is a fault that ends by itself. */
async function isPassing(logFile: string): Promise<boolean> {
  const log = await readFile(logFile, "utf8").catch(() => "");
  return /pre-existing shared memory block|lock file "postmaster.pid" already exists/.test(log.slice(-600));
}
