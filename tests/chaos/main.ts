/**
 * `npm run chaos`: real faults against the real processes, one row after another, and one table of what was seen.
 *
 * Exits 1 where a promise of safety was broken or a row could not be run to its end; a missed time is printed and no more.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { z } from "zod";
import { check } from "./checker.ts";
import { Random } from "./random.ts";
import { NotRunHere, type Row, type RowResult } from "./row.ts";
import { ROWS } from "./rows.ts";
import { Site } from "./site.ts";
import { Stage } from "./stage.ts";
import { isBroken, notesOf, tableOf } from "./table.ts";

const USAGE = `Usage: npm run chaos -- [--only R2,R7] [--rounds full|slice|NUMBER] [--seed N] [--out FILE]
Rows: ${ROWS.map(({ id }) => id).join(", ")}.
`;

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

process.exitCode = await main(process.argv.slice(2));

async function main(args: readonly string[]): Promise<number> {
  const flags = Object.fromEntries(Object.keys(Options.shape).map((name) => [name, { type: "string" as const }]));
  const { values } = parseArgs({ args: [...args], options: { ...flags, help: { type: "boolean" } } });
  const parsed = Options.safeParse(values);
  if (values["help"] === true || !parsed.success) {
    process.stderr.write(parsed.success ? USAGE : `${z.prettifyError(parsed.error)}\n${USAGE}`);
    return parsed.success ? 0 : 2;
  }
  const results = await runAll(parsed.data);
  const report = `${tableOf(results)}\n\n${notesOf(results)}`.trimEnd();
  process.stdout.write(`\nseed ${parsed.data.seed}\n\n${report}\n`);
  if (parsed.data.out !== undefined) writeFileSync(parsed.data.out, `${report}\n`);
  return results.some(isBroken) ? 1 : 0;
}

async function runAll(options: Options): Promise<readonly RowResult[]> {
  const chosen = ROWS.flatMap((row) => {
    const rounds = typeof options.rounds === "number" ? options.rounds : row.rounds[options.rounds];
    const wanted = options.only === undefined || options.only.includes(row.id);
    return wanted && rounds !== null ? [{ row, rounds }] : [];
  });
  const site = await Site.open();
  const results: RowResult[] = [];
  try {
    for (const { row, rounds } of chosen) {
      say(`${row.id}: ${row.fault}, ${rounds} rounds, seed ${options.seed}`);
      const result = await runRow(site, row, rounds, new Random(options.seed).fork(row.id));
      results.push(result);
      say(`${row.id} took ${Math.round(result.tookMs / 1_000)} s\n${tableOf([result])}\n${notesOf([result])}`);
    }
  } finally {
    await site.close();
  }
  return results;
}

async function runRow(site: Site, row: Row, rounds: number, random: Random): Promise<RowResult> {
  const from = performance.now();
  const stage = await Stage.open(site, row, random);
  const { history, accountIds, beganAtMs: sinceMs, breaches, notes } = stage;
  let notRun: string | null = null;
  try {
    await row.run(stage, rounds);
  } catch (error) {
    if (error instanceof NotRunHere) notRun = error.message;
    else breaches.push(`the row could not be run to its end: ${error instanceof Error ? error.stack : String(error)}`);
  }
  await stage.stopLoad();
  breaches.push(...(await check({ site, history, accountIds, sinceMs })));
  notes.push(
    `${history.operations.length} calls, ${history.count("ok")} ok, ${history.count("fail")} refused, ${history.count("info")} unknown, ${history.acknowledged.length} jobs acknowledged, ${history.sentAgain} creates sent again under their key`,
  );
  return { row, rounds, figures: stage.figures.all(), breaches, notes, notRun, tookMs: performance.now() - from };
}

function say(text: string): void {
  process.stderr.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
}
