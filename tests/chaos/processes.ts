/** Signals to processes, and what can be seen of them from outside. */
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";

const POLL_MS = 10;

export function signal(pid: number, name: NodeJS.Signals): void {
  if (pid <= 1) throw new RangeError(`no process ${pid} can be meant`);
  process.kill(pid, name);
}

/** To the process and all that it started in its group: what happens to a host. */
export function signalGroup(pid: number, name: NodeJS.Signals): void {
  if (pid <= 1) throw new RangeError(`no process group ${pid} can be meant`);
  try {
    process.kill(-pid, name);
  } catch (error) {
    // The group is gone already, which is what a SIGKILL wants and a SIGCONT cannot help.
    if (!(error instanceof Error && "code" in error && error.code === "ESRCH")) throw error;
  }
}

/** Polled finely: it is measured with. */
export async function gone(pid: number, deadlineMs: number): Promise<number | null> {
  const from = performance.now();
  while (performance.now() - from < deadlineMs) {
    if (!(await exists(pid))) return performance.now() - from;
    await sleep(POLL_MS);
  }
  return null;
}

/** A zombie has ended, even if nobody collected it. */
async function exists(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => null);
  return stat !== null && !/\) [ZX] /.test(stat);
}

export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
}
