/** What the parts of a stack use of the machine, from /proc: processor time, memory, sockets. */
import { readdir, readFile, readlink } from "node:fs/promises";

const TICKS_PER_S = 100;
const MIB = 1024 * 1024;

export interface Usage {
  readonly cpuS: number;
  readonly mib: number;
  readonly sockets: number;
}

/** Of the process and its children together. */
export async function usageOf(pid: number): Promise<Usage> {
  const family = [pid, ...(await childrenOf(pid))];
  const each = await Promise.all(family.map(ownUsage));
  return each.reduce((sum, own) => ({
    cpuS: sum.cpuS + own.cpuS,
    mib: sum.mib + own.mib,
    sockets: sum.sockets + own.sockets,
  }));
}

async function ownUsage(pid: number): Promise<Usage> {
  const [stat, status, sockets] = await Promise.all([
    read(`/proc/${pid}/stat`),
    read(`/proc/${pid}/status`),
    socketsOf(pid),
  ]);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const bytes = Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) * 1024;
  return { cpuS: (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_S, mib: bytes / MIB, sockets };
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await read(`/proc/${pid}/task/${pid}/children`);
  return text.split(" ").filter(Boolean).map(Number);
}

async function socketsOf(pid: number): Promise<number> {
  const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
  const links = await Promise.all(names.map((name) => readlink(`/proc/${pid}/fd/${name}`).catch(() => "")));
  return links.filter((link) => link.startsWith("socket:")).length;
}

/** Empty where the process is gone. */
function read(path: string): Promise<string> {
  return readFile(path, "utf8").catch(() => "");
}
