/** The real `gpu-runner` program of a test, and what the system says about its processes. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { haveJoined } from "./joined.ts";

const MAIN = new URL("../../gpu-runner/main.ts", import.meta.url);

interface Options {
  readonly dir: string;
  readonly stderr: "pipe" | "inherit";
  readonly stdout: "pipe" | "ignore";
}

export function forkRunner(
  urls: readonly string[],
  { dir, stderr, stdout }: Options,
  change: Readonly<Record<string, string>> = {},
): ChildProcess {
  haveJoined(change["CALLSHEET_RUNNER_DIR"] ?? dir, change["CALLSHEET_RUNNER_ID"]);
  return fork(MAIN, {
    stdio: ["ignore", stdout, stderr, "ipc"],
    env: {
      ...process.env,
      CALLSHEET_CONTROL_PLANE_URLS: urls.join(","),
      CALLSHEET_ENV: "development",
      CALLSHEET_RUNNER_ID: "runner-1",
      CALLSHEET_RUNNER_DIR: dir,
      CALLSHEET_ENGINE_FAULTS: "allow",
      ...change,
    },
  });
}

/** A runner and its folder, both gone when the test ends. */
export async function aRunner(
  urls: readonly string[],
  change: Readonly<Record<string, string>> = {},
): Promise<ChildProcess> {
  const dir = change["CALLSHEET_RUNNER_DIR"] ?? (await mkdtemp(join(tmpdir(), "callsheet-runner-")));
  const runner = forkRunner(urls, { dir, stderr: "inherit", stdout: "ignore" }, change);
  onTestFinished(async () => {
    await end(runner);
    await rm(dir, { recursive: true, force: true });
  });
  return runner;
}

export async function end(runner: ChildProcess): Promise<void> {
  if (runner.exitCode !== null || runner.signalCode !== null) return;
  runner.kill("SIGKILL");
  await once(runner, "exit");
}

export function childrenOf(parent: ChildProcess): number[] {
  const list = readFileSync(`/proc/${parent.pid}/task/${parent.pid}/children`, "utf8");
  return list.trim().split(/\s+/).filter(Boolean).map(Number);
}

export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false; // No such process.
  }
}
