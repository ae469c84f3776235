/**
 * A runner whose folder is a tmpfs of a few kilobytes, in a mount namespace of its own: nothing stays mounted however
 * the test ends. The test reaches the disk through the process.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { identityOf } from "./joined.ts";
import { end } from "./runner-program.ts";

const MAIN = new URL("../../gpu-runner/main.ts", import.meta.url).pathname;
const PROGRAM = "unshare";
/** Root makes a mount namespace as it is; others become root of a user namespace first. */
const UNSHARE = ["-m", ...(process.getuid?.() === 0 ? [] : ["-U", "-r"]), "--propagation", "private"];
const MOUNT = 'mount -t tmpfs -o "size=$1" tmpfs "$2"';

export const whyNoSmallDisk = refusal();

export interface SmallDisk {
  readonly runner: ChildProcess;
  /** The runner's folder, as the runner sees it. */
  readonly dir: string;
}

export async function aRunnerOnSmallDisk(urls: readonly string[], bytes: number): Promise<SmallDisk> {
  const mounted = await mkdtemp(join(tmpdir(), "callsheet-disk-"));
  const script = `${MOUNT} && printf %s "$3" > "$2/identity.json" && shift 3 && exec "$@"`;
  const command = ["sh", "-c", script, "sh", String(bytes), mounted, identityOf("runner-1"), process.execPath, MAIN];
  const runner = spawn(PROGRAM, [...UNSHARE, ...command], {
    stdio: ["ignore", "ignore", "inherit", "ipc"],
    env: {
      ...process.env,
      CALLSHEET_CONTROL_PLANE_URLS: urls.join(","),
      CALLSHEET_ENV: "development",
      CALLSHEET_RUNNER_ID: "runner-1",
      CALLSHEET_RUNNER_DIR: mounted,
      CALLSHEET_ENGINE_FAULTS: "allow",
      CALLSHEET_LOG: "silent",
    },
  });
  onTestFinished(async () => {
    await end(runner);
    await rm(mounted, { recursive: true, force: true });
  });
  return { runner, dir: `/proc/${runner.pid}/root${mounted}` };
}

function refusal(): string | null {
  if (process.platform !== "linux") return "there is no tmpfs here";
  const tried = spawnSync(PROGRAM, [...UNSHARE, "sh", "-c", MOUNT, "sh", "65536", tmpdir()], { encoding: "utf8" });
  return tried.status === 0 ? null : `a tmpfs cannot be mounted here: ${tried.stderr || String(tried.error)}`;
}
