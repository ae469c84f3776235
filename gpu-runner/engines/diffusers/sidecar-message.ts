/**
 * What the runner and its sidecar say: one JSON object a line. `sidecar/wire.py` is the other side of the same schema.
 *
 * Events count up in `seq`; those about a run carry the `run` of the order. Tensors and frames never come this way, only the
 * paths of their files.
 */
import { z } from "zod";
import { Sha256Hex } from "#protocol/id.ts";
import { Exactness, RunError, Stage } from "#protocol/runner.ts";
import type { StopWhy } from "../../engine.ts";
import type { Knobs } from "../../knobs.ts";
import type { RunSpec } from "#protocol/runner.ts";
import type { EngineJob } from "../../engine.ts";
import type { ModelEntry } from "./model-file.ts";

export const SIDECAR_PROTOCOL = 2;

const Device = z.object({
  kind: z.enum(["cpu", "cuda"]),
  name: z.string(),
  vram_bytes: z.int().nonnegative(),
});

const event = <Kind extends string, Fields extends z.ZodRawShape>(kind: Kind, fields: Fields) =>
  z.object({ t: z.literal(kind), seq: z.int().nonnegative(), ...fields });
const run = z.int().positive();

export const SidecarEvent = z.discriminatedUnion("t", [
  event("hello", {
    protocol: z.int(),
    build: z.string().max(64),
    /** All that it can see; it computes on the first. */
    devices: z.array(Device).min(1),
    pipelines: z.array(z.string()),
    versions: z.record(z.string(), z.string()),
  }),
  event("pong", { n: z.int() }),
  event("loaded", {
    run,
    /** Where the weights were: to be read, put aside in main memory, or there already. */
    from: z.enum(["disk", "memory", "device"]),
    /** What this very order took. */
    seconds: z.number().nonnegative(),
    vram_bytes: z.int().nonnegative(),
    known_answer: Sha256Hex.nullable(),
  }),
  event("unloaded", { run, vram_bytes: z.int().nonnegative() }),
  event("stage", { run, stage: Stage }),
  event("step", {
    run,
    stage: Stage,
    done: z.int().positive(),
    of: z.int().positive(),
    ms: z.number().nonnegative(),
  }),
  event("checkpoint", {
    run,
    step: z.int().positive(),
    path: z.string(),
    sha256: Sha256Hex,
    bytes: z.int().positive(),
    exactness: Exactness,
  }),
  event("unsaved", { run, step: z.int().positive(), detail: z.string() }),
  /** The decoded video as raw RGB, cut to what was asked; `tiled` if it did not fit into memory in one piece. */
  event("frames", { run, path: z.string(), latents_sha256: Sha256Hex, exactness: Exactness, tiled: z.boolean() }),
  event("stopped", { run, step: z.int().nonnegative() }),
  event("failed", { run, error: RunError }),
]);
export type SidecarEvent = z.infer<typeof SidecarEvent>;

export type SidecarOrder =
  | ({ readonly t: "load"; readonly run: number } & LoadOrder)
  | ({ readonly t: "run"; readonly run: number } & RunOrder)
  | { readonly t: "stop"; readonly run: number; readonly why: StopWhy }
  | { readonly t: "ping"; readonly n: number }
  | { readonly t: "unload"; readonly run: number }
  | { readonly t: "exit" };

type LoadOrder = ReturnType<typeof loadOrder>;
type RunOrder = ReturnType<typeof runOrder>;

export interface Saving {
  readonly interval_ms: number;
  readonly cost_multiple: number;
}

export function loadOrder(entry: ModelEntry) {
  return {
    model: {
      name: entry.name,
      pipeline: entry.pipeline,
      path: entry.path ?? null,
      repo: entry.repo ?? null,
      revision: entry.revision ?? null,
      dtype: typeof entry.dtype === "string" ? { default: entry.dtype } : entry.dtype,
      scheduler: entry.scheduler ?? null,
      arguments: entry.arguments,
      offload: entry.offload,
      known_answer: entry.known_answer !== false,
    },
  };
}

export function runOrder({ lease, spec, dir, checkpoint }: EngineJob, knobs: Knobs, negative: string, saving: Saving) {
  return {
    job: lease.job,
    epoch: lease.epoch,
    dir,
    checkpoint: checkpoint === null ? null : { path: checkpoint.path, written_for: checkpoint.writtenFor },
    stop_after: spec.stop_after,
    picture: pictureOf(spec, knobs.prompt, negative),
    saving,
    knobs: knobs.prompt === spec.prompt ? null : turned(knobs, lease.epoch, spec.steps),
  };
}

function pictureOf(spec: RunSpec, prompt: string, negative: string) {
  const { width, height, fps, frames, steps, seed, negative_prompt: own } = spec;
  return { prompt, negative_prompt: own === "" ? negative : own, width, height, fps, frames, steps, seed };
}

/** Which of them come up in this attempt; `slow` is work of the reference engine's kind. */
function turned(knobs: Knobs, epoch: number, steps: number) {
  const middle = Math.max(1, Math.ceil(steps / 2));
  const once = epoch === 1 ? knobs.crashOnceAt : null;
  return {
    crash_at: (knobs.crashAt === "middle" ? middle : knobs.crashAt) ?? once,
    hang_at: knobs.hangAt,
    nan_at: knobs.nanAt,
    oom_at: knobs.oom ? middle : null,
    oom_decode: knobs.oomDecode,
    idle_ms: knobs.idleMs,
  };
}
