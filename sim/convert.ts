/**
 * `npm run sim:convert -- FILE [--out FILE] [--days N] [--model NAME] [--skip-bad]`
 *
 * Makes a workload of a downloaded trace. The file is read twice, once for its first arrival and once to convert, and is
 * never held in memory; lines come out in the file's order.
 */
import { createWriteStream } from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { parseArgs } from "node:util";
import { z } from "zod";
import { BadRow, csvRows } from "./trace/csv.ts";
import type { CsvRow } from "./trace/csv.ts";
import { Gentd26 } from "./trace/gentd26.ts";
import { LINES_MAX } from "./workload-file.ts";

const USAGE = `Usage: npm run --silent sim:convert -- lora_request_trace.csv [options] > workload.jsonl
    --out FILE      write there instead of to standard output
    --days N        only the first N days (default: all)
    --model NAME    the model that every request asks for (default: wan2.2-t2v-a14b)
    --skip-bad      leave out rows that cannot be used, and say how many (default: stop at the first)
`;
const DAY_S = 86_400;

const Options = z.object({
  out: z.string().min(1).optional(),
  days: z.coerce.number().positive().default(Infinity),
  model: z.string().min(1).default("wan2.2-t2v-a14b"),
  "skip-bad": z.boolean().default(false),
});
type Options = z.infer<typeof Options>;

async function main(args: string[]): Promise<number> {
  const asked = read(args);
  if (typeof asked === "string") {
    process.stderr.write(asked);
    return asked === USAGE ? 0 : 2;
  }
  const { path, options } = asked;
  const { out } = options;
  const tally = { lines: 0, bad: 0 };
  try {
    const lines = Readable.from(workload(path, options, tally));
    await pipeline(lines, out === undefined ? process.stdout : createWriteStream(out));
  } catch (error) {
    // Whoever reads us may have had enough, as `head` does.
    if (error instanceof Error && "code" in error && error.code === "EPIPE") return 0;
    if (!(error instanceof BadRow) && !(error instanceof Error && "syscall" in error)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
  process.stderr.write(`${tally.lines} requests${tally.bad === 0 ? "" : `; bad rows left out: ${tally.bad}`}\n`);
  return 0;
}

/** What the command line asks for; a text for whoever typed it if that is help, or nothing that can be done. */
function read(args: string[]): { readonly path: string; readonly options: Options } | string {
  const texts = { out: { type: "string" }, days: { type: "string" }, model: { type: "string" } } as const;
  const flags = { "skip-bad": { type: "boolean" }, help: { type: "boolean" } } as const;
  try {
    const { values, positionals } = parseArgs({ args, allowPositionals: true, options: { ...texts, ...flags } });
    if (values.help === true) return USAGE;
    const parsed = Options.safeParse(values);
    if (!parsed.success) return `${z.prettifyError(parsed.error)}\n${USAGE}`;
    const [path, ...more] = positionals;
    return path === undefined || more.length > 0 ? `One file is converted.\n${USAGE}` : { path, options: parsed.data };
  } catch (error) {
    // An option that does not exist, or has no value.
    if (error instanceof TypeError) return `${error.message}\n${USAGE}`;
    throw error;
  }
}

async function* workload(
  path: string,
  { days, model, "skip-bad": skipBad }: Options,
  tally: { lines: number; bad: number },
): AsyncGenerator<string> {
  /** What `read` makes of a row; null for a bad one, where those are left out. */
  const usable = <Value>(read: () => Value): Value | null => {
    try {
      return read();
    } catch (error) {
      if (!skipBad || !(error instanceof BadRow)) throw error;
      return null;
    }
  };
  let startMs = Infinity;
  for await (const { row, trace } of rows(path)) {
    startMs = Math.min(startMs, usable(() => trace.lineOf(row, 0, model) && trace.arrivalMs(row)) ?? Infinity);
  }
  for await (const { row, trace } of rows(path)) {
    const line = usable(() => trace.lineOf(row, startMs, model));
    if (line === null) tally.bad++;
    else if (line.at_s < days * DAY_S) {
      tally.lines++;
      if (tally.lines > LINES_MAX) throw new BadRow(path, row.line, `more than ${LINES_MAX} requests; try --days`);
      yield `${JSON.stringify(line)}\n`;
    }
  }
}

async function* rows(path: string): AsyncGenerator<{ readonly row: CsvRow; readonly trace: Gentd26 }> {
  let trace: Gentd26 | null = null;
  for await (const row of csvRows(path)) {
    if (trace === null) trace = new Gentd26(path, row);
    else yield { row, trace };
  }
  if (trace === null) throw new BadRow(path, 1, "the file is empty");
}

process.exitCode = await main(process.argv.slice(2));
