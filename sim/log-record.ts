/**
 * The decision log of a run: JSON lines, byte-identical for the same seed. From it alone an outsider can recheck capacity,
 * caps, fairness and every figure of the summary.
 *
 * `gpu_seconds` is always the fair charge (H100 GPU-seconds at the class's cheapest gang): of the whole job on `submitted`,
 * of what is left on `placed`, and of what this attempt did on the line that ends it. A job ends its attempt by `preempted`,
 * `runner_lost` (a line that names the job; `job_lost` in memory), `finished` or `failed`.
 */
import { z } from "zod";

const Job = { t_ms: z.int(), job: z.string(), account: z.string(), tier: z.string(), class: z.string() };
const Attempt = {
  ...Job,
  runner: z.string(),
  devices: z.array(z.string()),
  /** Of the one device, where it has several; else the devices are taken whole. */
  slot: z.int().nonnegative().optional(),
  /** The first of the jobs that run together. */
  batch: z.string().optional(),
  k: z.int(),
  epoch: z.int(),
  gpu_seconds: z.number(),
  /** GPU-seconds spent for nothing: lost steps, and weights loaded again because of a preemption or loss. */
  lost_gpu_s: z.number(),
};
const Quote = { eta_p50_s: z.number().optional(), eta_p90_s: z.number().optional() };

export const LogConfig = z.strictObject({
  t_ms: z.literal(0),
  event: z.literal("config"),
  policy: z.string(),
  seed: z.int(),
  tiers: z.array(z.string()),
  /** Running jobs of one account. */
  caps: z.record(z.string(), z.int()),
  weights: z.record(z.string(), z.number()),
  /** GPU-seconds at weight 1 by which the policy may serve an account before its turn. */
  skip_s: z.number().optional(),
  costs_sha256: z.string(),
  runners: z.array(
    z.strictObject({
      id: z.string(),
      gpu: z.string(),
      vram_gb: z.number(),
      /** Of each device; 1 if absent. */
      slots: z.int().optional(),
      devices: z.array(z.string()),
    }),
  ),
  classes: z.record(z.string(), z.array(z.strictObject({ k: z.int(), vram_gb: z.number() }))),
  /** Jobs of the class that may run together; 1 if absent. */
  batch_max: z.record(z.string(), z.int()).optional(),
});

export const LogRecord = z.discriminatedUnion("event", [
  z.strictObject({ event: z.literal("submitted"), ...Job, weights: z.string(), gpu_seconds: z.number(), ...Quote }),
  z.strictObject({ event: z.literal("rejected"), ...Job }),
  z.strictObject({
    event: z.literal("placed"),
    ...Attempt,
    cold_s: z.number(),
    ...Quote,
    /** When the quote on this line was made: the last one at least a minute old. */
    eta_at_ms: z.int().optional(),
  }),
  z.strictObject({ event: z.literal("checkpointed"), ...Job, runner: z.string(), epoch: z.int(), steps_done: z.int() }),
  z.strictObject({ event: z.literal("preempted"), ...Attempt }),
  z.strictObject({ event: z.literal("finished"), ...Attempt }),
  z.strictObject({ event: z.literal("failed"), ...Attempt }),
  z.strictObject({ event: z.literal("runner_lost"), t_ms: z.int(), runner: z.string() }),
  z.strictObject({ event: z.literal("job_lost"), ...Attempt }),
  z.strictObject({ event: z.literal("runner_back"), t_ms: z.int(), runner: z.string() }),
]);

export type LogConfig = Readonly<z.infer<typeof LogConfig>>;
export type LogRecord = Readonly<z.infer<typeof LogRecord>>;
export type AttemptEnd = Extract<LogRecord, { event: "preempted" | "finished" | "failed" | "job_lost" }>;

export interface RunLog {
  readonly config: LogConfig;
  readonly records: readonly LogRecord[];
}

export function isAttemptEnd(record: LogRecord): record is AttemptEnd {
  return (
    record.event === "preempted" ||
    record.event === "finished" ||
    record.event === "failed" ||
    record.event === "job_lost"
  );
}

export function writeLog({ config, records }: RunLog): string {
  return [config, ...records.map((record) => inFileOrder(record))].map((line) => `${JSON.stringify(line)}\n`).join("");
}

function inFileOrder({ t_ms, event, ...rest }: LogRecord): object {
  return { t_ms, event: event === "job_lost" ? "runner_lost" : event, ...rest };
}

export function readLog(text: string): RunLog {
  const [first = "", ...rest] = text.split("\n").filter((line) => line !== "");
  return {
    config: LogConfig.parse(JSON.parse(first)),
    records: rest.map((line) => parseRecord(line)),
  };
}

/** In the file a lost runner and each job lost with it have the same event; only the latter name a job. */
function parseRecord(line: string): LogRecord {
  const value: unknown = JSON.parse(line);
  const isLostJob = z.object({ event: z.literal("runner_lost"), job: z.string() }).safeParse(value).success;
  return LogRecord.parse(isLostJob ? Object.assign({}, value, { event: "job_lost" }) : value);
}
