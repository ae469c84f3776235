/**
 * What the runners' own logs say of their attempts, held against the tables: nobody begins a lease twice or without a
 * dispatch, and nobody says a word of an attempt that it let go or was told is stale.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type postgres from "postgres";
import { z } from "zod";

/** One line about one attempt; a restarted runner has the same name and another pid. */
const AttemptLine = z.object({
  pid: z.int(),
  runner: z.string(),
  job: z.string(),
  epoch: z.int(),
  said: z.string().optional(),
  msg: z.string(),
});
export type AttemptLine = z.infer<typeof AttemptLine>;

export interface AttemptSeen {
  readonly job: string;
  readonly epoch: number;
  readonly runner: string;
  readonly outcome: string | null;
}

const BEGINS = "attempt begins";
const FINISHED = "attempt finished";
const STALE = "attempt is stale";
/** Also once its end was recorded. */
const LET_GO = "attempt is let go";
/** To refuse what is assigned once more is an answer to the assignment. */
const ANSWERS: ReadonlySet<string> = new Set(["accepted", "refused"]);

export interface LogVerdict {
  readonly breaches: readonly string[];
  /** Attempts that a runner was told are over: what it had said of them was refused. */
  readonly stale: number;
}

/** Lines of all runners, each runner's in its order. */
export function judgeLogs(lines: readonly AttemptLine[], attempts: readonly AttemptSeen[]): LogVerdict {
  const breaches: string[] = [];
  const runnerOf = new Map(attempts.map((one) => [`${one.job}/${one.epoch}`, one.runner]));
  const begun = new Map<string, string>();
  const finished = new Set<string>();
  const over = new Map<string, string>();
  let stale = 0;
  for (const { pid, runner, job, epoch, said, msg } of lines) {
    const lease = `${job}/${epoch}`;
    const own = `${pid} ${lease}`;
    if (msg === BEGINS) {
      const before = begun.get(lease);
      if (before !== undefined) breaches.push(`log: ${lease} was begun by ${before} and by ${runner}`);
      begun.set(lease, runner);
      if (runnerOf.get(lease) !== runner) breaches.push(`log: ${runner} began ${lease}, which it was never given`);
    }
    if (msg === FINISHED) finished.add(`${runner} ${lease}`);
    if (msg === STALE || msg === LET_GO) over.set(own, msg);
    if (msg === STALE) stale++;
    const why = over.get(own);
    if (said !== undefined && why !== undefined && !ANSWERS.has(said)) {
      breaches.push(`log: ${runner} says ${said} of ${lease} after "${why}"`);
    }
  }
  for (const { job, epoch, runner, outcome } of attempts) {
    if (outcome === "completed" && !finished.has(`${runner} ${job}/${epoch}`)) {
      breaches.push(`log: ${job}/${epoch} is completed, which ${runner} never said`);
    }
  }
  return { breaches, stale };
}

/** Of these accounts' jobs. */
export async function runnerLogs(sql: postgres.Sql, accounts: string[], home: string): Promise<LogVerdict> {
  const attempts = await sql<AttemptSeen[]>`
    select a.job_id as job, a.epoch, a.runner_id as runner, a.outcome from attempt a join job j on j.id = a.job_id
    where j.account_id = any(${accounts})`;
  const jobs = new Set(attempts.map(({ job }) => job));
  const logs = join(home, "logs");
  const names = (await readdir(logs)).filter((name) => name.startsWith("host-"));
  const texts = await Promise.all(names.map((name) => readFile(join(logs, name), "utf8")));
  return judgeLogs(
    texts.flatMap((text) => linesOf(text)).filter(({ job }) => jobs.has(job)),
    attempts,
  );
}

function linesOf(text: string): readonly AttemptLine[] {
  return text.split("\n").flatMap((line) => {
    // Most lines are about no attempt; the last one of a killed runner may be torn.
    if (!line.includes('"epoch":') || !line.endsWith("}")) return [];
    const read = AttemptLine.safeParse(JSON.parse(line));
    return read.success ? [read.data] : [];
  });
}
