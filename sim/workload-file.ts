/**
 * A workload: JSON lines, one request each, in order of arrival. The same shape whether read from a file or generated.
 *
 * Files stay where they are: a workload is only ever read from the path that was given.
 */
import { readFileSync } from "node:fs";
import { z } from "zod";

/** A file of more lines than this is refused: everything is held in memory. */
export const LINES_MAX = 5_000_000;

export const WorkloadLine = z.strictObject({
  /** Arrival, seconds from the start. */
  at_s: z.number().nonnegative(),
  account: z.string().min(1),
  tier: z.string().min(1),
  model: z.string().min(1),
  /** The fine-tune that must be resident; empty is the model itself. */
  weights: z.string(),
  /** Width x height, for example `832x480`. */
  size: z.string().regex(/^\d+x\d+$/),
  seconds: z.int().positive(),
  steps: z.int().positive(),
  /** `failed`: the engine fails this request for good, after all its work. */
  outcome: z.enum(["ok", "failed"]),
});
export type WorkloadLine = Readonly<z.infer<typeof WorkloadLine>>;

export function readWorkload(path: string): readonly WorkloadLine[] {
  return parseWorkload(readFileSync(path, "utf8"), path);
}

/** The lines in order of arrival; lines of equal arrival keep the file's order. */
export function parseWorkload(text: string, name: string): readonly WorkloadLine[] {
  const rows = text.split("\n").filter((row) => row.trim() !== "");
  if (rows.length > LINES_MAX) throw new Error(`${name} has more than ${LINES_MAX} lines`);
  const lines = rows.map((row, index) => parseLine(row, `${name}:${index + 1}`));
  return lines.toSorted((a, b) => a.at_s - b.at_s);
}

function parseLine(row: string, where: string): WorkloadLine {
  let value: unknown;
  try {
    value = JSON.parse(row);
  } catch (cause) {
    throw new Error(`${where} is not JSON`, { cause });
  }
  const parsed = WorkloadLine.safeParse(value);
  if (!parsed.success) throw new Error(`${where} is not a workload line: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}
