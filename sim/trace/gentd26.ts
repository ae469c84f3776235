/**
 * GenTD26, a public production trace of text-to-image requests (`lora_request_trace.csv` of Alibaba's cluster-trace-v2026-GenAI),
 * as a workload of videos.
 *
 * Arrivals, accounts, base models, steps and outcomes are the trace's. It knows no videos and no tiers, so those are assigned:
 * size and seconds by images per prompt, 1080p to what takes many steps, the tier by a hash of the account.
 */
import { createHash } from "node:crypto";
import type { WorkloadLine } from "../workload-file.ts";
import { BadRow } from "./csv.ts";
import type { CsvRow } from "./csv.ts";

const COLUMNS = [
  "gmt_create",
  "predict_status",
  "groupId",
  "num_images_per_prompt",
  "num_inference_steps",
  "checkpoint_model_version_id",
] as const;
type Column = (typeof COLUMNS)[number];

/** Per cent of accounts, by the hash's last two digits. */
const FREE_BELOW = 80;
const PLUS_BELOW = 95;

/** From this many images on; a count between two rows is treated as the lower one. */
const VIDEOS = [
  { images: 8, size: "1280x720", seconds: 10 },
  { images: 4, size: "1280x720", seconds: 5 },
  { images: 2, size: "832x480", seconds: 10 },
  { images: 1, size: "832x480", seconds: 5 },
] as const;
const FULL_HD = { size: "1920x1080", imagesMin: 4, stepsMin: 40 } as const;
const STEPS_MAX = 1_000;
const IMAGES_MAX = 1_000;

export class Gentd26 {
  readonly #path: string;
  readonly #width: number;
  readonly #places: ReadonlyMap<Column, number>;

  /** Columns are found by their names, in any order; others are ignored. */
  constructor(path: string, header: CsvRow) {
    this.#path = path;
    this.#width = header.cells.length;
    const missing = COLUMNS.filter((name) => !header.cells.includes(name));
    if (missing.length > 0) throw new BadRow(path, header.line, `the header has no column ${missing.join(", ")}`);
    this.#places = new Map(COLUMNS.map((name) => [name, header.cells.indexOf(name)]));
  }

  /** Milliseconds of a clock that all rows share. */
  arrivalMs(row: CsvRow): number {
    const text = this.#cell(row, "gmt_create");
    const ms = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/.test(text) ? Date.parse(`${text.replace(" ", "T")}Z`) : NaN;
    if (Number.isNaN(ms)) this.#fail(row, "gmt_create", "is not a time such as 2024-11-15 16:57:50");
    return ms;
  }

  lineOf(row: CsvRow, startMs: number, model: string): WorkloadLine {
    const account = this.#cell(row, "groupId");
    const images = this.#count(row, "num_images_per_prompt", IMAGES_MAX);
    const steps = this.#count(row, "num_inference_steps", STEPS_MAX);
    const video = VIDEOS.find((kind) => images >= kind.images) ?? VIDEOS[3];
    return {
      at_s: (this.arrivalMs(row) - startMs) / 1_000,
      account,
      tier: tierOf(account),
      model,
      // Empty for a few requests: the model itself.
      weights: this.#text(row, "checkpoint_model_version_id"),
      size: images >= FULL_HD.imagesMin && steps >= FULL_HD.stepsMin ? FULL_HD.size : video.size,
      seconds: video.seconds,
      steps,
      outcome: this.#cell(row, "predict_status") === "SUCCEED" ? "ok" : "failed",
    };
  }

  /** Counts are written as `30.0`. */
  #count(row: CsvRow, column: Column, max: number): number {
    const text = this.#cell(row, column);
    const count = /^\d+(\.0+)?$/.test(text) ? Number(text) : NaN;
    if (!(count >= 1 && count <= max)) this.#fail(row, column, `is not a whole number from 1 to ${max}`);
    return count;
  }

  #cell(row: CsvRow, column: Column): string {
    const text = this.#text(row, column);
    if (text === "") throw new BadRow(this.#path, row.line, `column ${column} is empty`);
    return text;
  }

  #text(row: CsvRow, column: Column): string {
    if (row.cells.length !== this.#width)
      throw new BadRow(this.#path, row.line, `the row has ${row.cells.length} cells, the header has ${this.#width}`);
    return row.cells[this.#places.get(column) ?? -1] ?? "";
  }

  #fail(row: CsvRow, column: Column, why: string): never {
    throw new BadRow(this.#path, row.line, `column ${column}: "${this.#text(row, column)}" ${why}`);
  }
}

/** SHA-256 of the account as one number, its last two decimal digits. */
function tierOf(account: string): string {
  const part = Number(BigInt(`0x${createHash("sha256").update(account).digest("hex")}`) % 100n);
  if (part < FREE_BELOW) return "free";
  return part < PLUS_BELOW ? "plus" : "pro";
}
