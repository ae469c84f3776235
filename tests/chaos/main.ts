/**
 * `npm run chaos`: real faults against the real processes, one row after another, and one table of what was seen.
 *
 * Exits 1 where a promise of safety was broken or a row could not be run to its end; a missed time is printed and no more.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { parseArgs } from "node:util";
import { z } from "zod";
import { check } from "./checker.ts";
import type { History } from "./history.ts";
import { CLIENTS } from "./load.ts";
import { Random } from "./random.ts";
import { NotRunHere, type Row, type RowResult } from "./row.ts";
import { ROWS } from "./rows.ts";
import { Site } from "./site.ts";
import { Stage } from "./stage.ts";
import { isBroken, notesOf, tableOf } from "./table.ts";

const USAGE = `Usage: npm run chaos -- [--only R2,R7] [--rounds full|slice|NUMBER] [--seed N] [--out FILE]
Rows: ${ROWS.map(({ id }) => id).join(", ")}.
`;

const INTERRUPTED = 130;

const Options = z.object({
  only: z
    .string()
    .transform((ids) => ids.split(","))
    .pipe(z.array(z.enum(ROWS.map(({ id }) => id))))
    .optional(),
  rounds: z.union([z.enum(["full", "slice"]), z.coerce.number().pipe(z.int().positive())]).default("full"),
  seed: z.coerce
    .number()
    .pipe(z.int())
    .default(() => Date.now() % 1_000_000),
  out: z.string().optional(),
});
type Options = z.infer<typeof Options>;

// Not left to the event loop: after sockets to killed processes were dropped it has been seen to turn without end.
process.exit(await main(process.argv.slice(2)));

async function main(args: readonly string[]): Promise<number> {
  const flags = Object.fromEntries(Object.keys(Options.shape).map((name) => [name, { type: "string" as const }]));
  const { values } = parseArgs({ args: [...args], options: { ...flags, help: { type: "boolean" } } });
  const parsed = Options.safeParse(values);
  if (values["help"] === true || !parsed.success) {
    process.stderr.write(parsed.success ? USAGE : `${z.prettifyError(parsed.error)}\n${USAGE}`);
    return parsed.success ? 0 : 2;
  }
  const began = { at: new Date(), load: loadAverage() };
  const results = await runAll(parsed.data, (done) => keep(parsed.data, began, done));
  process.stdout.write(`\n${reportOf(parsed.data, began, results)}\n`);
  return results.some(isBroken) ? 1 : 0;
}

interface Began {
  readonly at: Date;
  readonly load: string;
}

/** After every row: a run that is ended early leaves what it saw. */
function keep(options: Options, began: Began, results: readonly RowResult[]): void {
  if (options.out !== undefined) writeFileSync(options.out, `${reportOf(options, began, results)}\n`);
}

/** As it goes into `bench/RESULTS.md`: where and when, the table, what was broken and what figures cannot say. */
function reportOf({ seed, rounds }: Options, began: Began, results: readonly RowResult[]): string {
  const minutes = ((Date.now() - began.at.getTime()) / 60_000).toFixed(1);
  const where = `${availableParallelism()} cores, load average ${began.load} at the start and ${loadAverage()} at the end`;
  const head = `\`npm run chaos\` of ${began.at.toISOString().slice(0, 16)}Z, rounds ${rounds}, seed ${seed}: ${minutes} min on ${where}.`;
  const broken = results.filter(isBroken).length;
  return `${head}\n\n${tableOf(results)}\n\n${notesOf(results)}\n\n${broken} of ${results.length} rows broke a promise.`;
}

function loadAverage(): string {
  return readFileSync("/proc/loadavg", "utf8").split(" ").slice(0, 3).join(" ");
}

interface Turn {
  readonly row: Row;
  readonly rounds: number;
}

async function runAll(options: Options, seen: (results: readonly RowResult[]) => void): Promise<readonly RowResult[]> {
  const turns = ROWS.flatMap((row): readonly Turn[] => {
    const rounds = typeof options.rounds === "number" ? options.rounds : row.rounds[options.rounds];
    const wanted = options.only === undefined || options.only.includes(row.id);
    return wanted && rounds !== null ? [{ row, rounds }] : [];
  });
  const site = await Site.open();
  // Whoever ends the run ends what it started.
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.once(name, () => void site.close().finally(() => process.exit(INTERRUPTED)));
  }
  const results: RowResult[] = [];
  try {
    for (const together of groupsOf(turns)) {
      for (const { row, rounds } of together) say(`${row.id}: ${row.fault}; rounds ${rounds}, seed ${options.seed}`);
      const done = await runTogether(site, together, options.seed);
      results.push(...done);
      seen(inOrder(results));
      say(
        `took ${Math.round(Math.max(...done.map(({ tookMs }) => tookMs)) / 1_000)} s\n${tableOf(done)}\n${notesOf(done)}`,
      );
    }
  } finally {
    await site.close();
  }
  return inOrder(results);
}

function inOrder(results: readonly RowResult[]): readonly RowResult[] {
  return results.toSorted((a, b) => ROWS.indexOf(a.row) - ROWS.indexOf(b.row));
}

/** Rows that name another as their neighbour join it. */
function groupsOf(turns: readonly Turn[]): readonly (readonly Turn[])[] {
  const leads = turns.filter(({ row }) => !turns.some((other) => other.row.id === row.beside));
  return leads.map((lead) => [lead, ...turns.filter(({ row }) => row.beside === lead.row.id)]);
}

/** Faults first, all of them; then everything comes to rest and is checked. */
async function runTogether(site: Site, turns: readonly Turn[], seed: number): Promise<readonly RowResult[]> {
  const from = performance.now();
  await site.fleet.atLeast(turns.reduce((sum, { row }) => sum + row.runners, 0));
  const clients = Math.ceil(CLIENTS / turns.length);
  const acts = await Promise.all(
    turns.map(async (turn) => {
      const stage = await Stage.open(site, turn.row, new Random(seed).fork(turn.row.id), clients);
      return { ...turn, stage, notRun: await perform(turn, stage) };
    }),
  );
  await Promise.all(acts.map(({ stage }) => stage.stopLoad()));
  const results: RowResult[] = [];
  for (const { row, rounds, stage, notRun } of acts) {
    const { history, accountIds, beganAtMs: sinceMs, spoiled, breaches, notes, figures } = stage;
    try {
      const checked = await check({ site, history, accountIds, sinceMs, spoiled });
      breaches.push(...checked.breaches);
      notes.push(checked.note);
    } finally {
      await row.restore?.(stage);
    }
    notes.push(saidOf(history));
    results.push({ row, rounds, figures: figures.all(), breaches, notes, notRun, tookMs: performance.now() - from });
  }
  return results;
}

/** Null, or why the machine could not do it. */
async function perform({ row, rounds }: Turn, stage: Stage): Promise<string | null> {
  try {
    await row.run(stage, rounds);
  } catch (error) {
    if (error instanceof NotRunHere) return error.message;
    stage.breach(`the row could not be run to its end: ${error instanceof Error ? error.stack : String(error)}`);
  }
  return null;
}

function saidOf(history: History): string {
  const outcomes = `${history.count("ok")} ok, ${history.count("fail")} refused, ${history.count("info")} unknown`;
  return `${history.operations.length} calls: ${outcomes}; ${history.acknowledged.length} jobs acknowledged, ${history.sentAgain} creates sent again under their key`;
}

function say(text: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
}
