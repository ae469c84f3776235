/** The runner's environment, read once; every fault is reported in one message. */
import { hostname, tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { RunnerId } from "#protocol/id.ts";
import { JoinToken } from "#protocol/runner-identity.ts";
import { DEVICE_SLOTS_MAX, RUNNER_DEVICES_MAX } from "#protocol/runner.ts";
import { SpotCloud } from "./spot-notice.ts";

const CONTROL_PLANES_MAX = 16;
/** More than any GPU has; a larger figure is bytes or megabytes by mistake. */
const DEVICE_VRAM_GB_MAX = 4_096;
/** More than any host has; a larger figure is bytes or megabytes by mistake. */
const WEIGHTS_RAM_GB_MAX = 16_384;
const BYTES_PER_GB = 1_000_000_000;

/** Where `npm run engine:diffusers:setup` puts it. */
const DIFFUSERS_VENV = fileURLToPath(new URL("../.callsheet/diffusers-venv", import.meta.url));

const BaseUrl = z
  .url({ protocol: /^https?$/, error: "must be http or https URLs" })
  .transform((text) => text.replace(/\/+$/, ""));

const Environment = z.object({
  CALLSHEET_CONTROL_PLANE_URLS: z
    .string()
    .transform((text) =>
      text
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== ""),
    )
    .pipe(z.array(BaseUrl).min(1).max(CONTROL_PLANES_MAX)),
  /** Needed until the runner has joined, and to join anew. Empty is the same as not set. */
  CALLSHEET_RUNNER_JOIN_TOKEN: z.literal("").or(JoinToken).optional(),
  CALLSHEET_RUNNER_ID: RunnerId.default(() =>
    RunnerId.parse(
      hostname()
        .toLowerCase()
        .replace(/[^a-z0-9-]+/g, "-")
        .slice(0, 63),
    ),
  ),
  CALLSHEET_RUNNER_DIR: z
    .string()
    .min(1)
    .default(() => join(tmpdir(), "callsheet-runner")),
  CALLSHEET_DEVICES: z.coerce.number().pipe(z.int().min(1).max(RUNNER_DEVICES_MAX)).default(1),
  /** Memory of each device; the reference engine shares the host's memory out where nothing is declared. */
  CALLSHEET_DEVICE_VRAM_GB: z.coerce.number().pipe(z.number().positive().max(DEVICE_VRAM_GB_MAX)).optional(),
  /** Single-device jobs that may share a device. */
  CALLSHEET_DEVICE_SLOTS: z.coerce.number().pipe(z.int().min(1).max(DEVICE_SLOTS_MAX)).default(1),
  /** Fault knobs are for development only, so a runner that is told nothing has none. */
  CALLSHEET_ENV: z.enum(["development", "staging", "production"]).default("production"),
  CALLSHEET_ENGINE: z.enum(["reference", "diffusers", "openai-video"]).default("reference"),
  /** The models that it serves. */
  CALLSHEET_MODEL_FILE: z.string().min(1).optional(),
  /** For the diffusers engine: its Python. */
  CALLSHEET_DIFFUSERS_VENV: z.string().min(1).default(DIFFUSERS_VENV),
  /** For the diffusers engine: main memory for models that its slots put aside, all slots of this runner together. */
  CALLSHEET_WEIGHTS_RAM_GB: z.coerce.number().pipe(z.number().min(0).max(WEIGHTS_RAM_GB_MAX)).default(0),
  /** As CUDA understands it: indices or UUIDs. */
  CUDA_VISIBLE_DEVICES: z.string().optional(),
  CALLSHEET_ENGINE_FAULTS: z.enum(["allow", "refuse"]).default("refuse"),
  /** The operator's word on Xids (JSON): which are faults of what. */
  CALLSHEET_XID_FILE: z.string().optional(),
  /** The cloud that may take this machine back at short notice; empty is the same as not set. */
  CALLSHEET_SPOT: z.literal("").or(SpotCloud).optional(),
  CALLSHEET_DRAIN_SECONDS: z.coerce.number().pipe(z.int().min(0).max(3_600)).default(20),
  CALLSHEET_LOG: z.enum(["trace", "debug", "info", "warn", "error", "fatal", "silent"]).default("info"),
});

export interface DeclaredDevices {
  readonly count: number;
  /** Null: what the host has, in equal parts. */
  readonly vramBytes: number | null;
  readonly slots: number;
}

export type EngineChoice =
  | { readonly name: "reference" }
  | {
      readonly name: "diffusers";
      readonly modelFile: string;
      readonly python: string;
      /** Main memory for models that were put aside, of each slot: slots share no process, and so no weights. */
      readonly shelfBytes: number;
    }
  | { readonly name: "openai-video"; readonly modelFile: string };

export interface RunnerConfig {
  readonly controlPlaneUrls: readonly string[];
  readonly joinToken: string | null;
  readonly runner: RunnerId;
  readonly dir: string;
  readonly devices: DeclaredDevices;
  readonly engine: EngineChoice;
  /** Of the host's GPUs; null: all. */
  readonly visibleGpus: string | null;
  readonly faults: boolean;
  readonly xidFile: string | null;
  readonly spot: SpotCloud | null;
  readonly drainMs: number;
  readonly logLevel: string;
}

export function readConfig(environment: NodeJS.ProcessEnv = process.env): RunnerConfig {
  const read = Environment.safeParse(environment);
  const faults = [
    ...(read.error?.issues ?? []).map((issue) => `${issue.path.join(".")}: ${issue.message}`),
    ...(environment["CALLSHEET_ENGINE_FAULTS"] === "allow" && environment["CALLSHEET_ENV"] !== "development"
      ? ["CALLSHEET_ENGINE_FAULTS: may be allowed in development only (CALLSHEET_ENV)"]
      : []),
    ...(read.data !== undefined && read.data.CALLSHEET_ENGINE !== "reference" && !read.data.CALLSHEET_MODEL_FILE
      ? [`CALLSHEET_MODEL_FILE: is needed by the ${read.data.CALLSHEET_ENGINE} engine`]
      : []),
  ];
  if (!read.success || faults.length > 0) {
    throw new Error(`The runner's settings are not valid:\n  ${faults.join("\n  ")}`);
  }
  const variables = read.data;
  const vramGb = variables.CALLSHEET_DEVICE_VRAM_GB;
  return Object.freeze({
    controlPlaneUrls: variables.CALLSHEET_CONTROL_PLANE_URLS,
    joinToken: variables.CALLSHEET_RUNNER_JOIN_TOKEN || null,
    runner: variables.CALLSHEET_RUNNER_ID,
    dir: variables.CALLSHEET_RUNNER_DIR,
    devices: {
      count: variables.CALLSHEET_DEVICES,
      vramBytes: vramGb === undefined ? null : Math.floor(vramGb * BYTES_PER_GB),
      slots: variables.CALLSHEET_DEVICE_SLOTS,
    },
    engine: engineOf(variables),
    visibleGpus: variables.CUDA_VISIBLE_DEVICES ?? null,
    faults: variables.CALLSHEET_ENGINE_FAULTS === "allow",
    xidFile: variables.CALLSHEET_XID_FILE || null,
    spot: variables.CALLSHEET_SPOT || null,
    drainMs: variables.CALLSHEET_DRAIN_SECONDS * 1_000,
    logLevel: variables.CALLSHEET_LOG,
  });
}

function engineOf(variables: z.infer<typeof Environment>): EngineChoice {
  const { CALLSHEET_ENGINE: name, CALLSHEET_MODEL_FILE: modelFile, CALLSHEET_DIFFUSERS_VENV: venv } = variables;
  if (name === "reference" || modelFile === undefined) return { name: "reference" };
  if (name === "openai-video") return { name, modelFile: resolve(modelFile) };
  const slots = variables.CALLSHEET_DEVICES * variables.CALLSHEET_DEVICE_SLOTS;
  const shelfBytes = Math.floor((variables.CALLSHEET_WEIGHTS_RAM_GB * BYTES_PER_GB) / slots);
  return { name, modelFile: resolve(modelFile), python: resolve(venv, "bin/python"), shelfBytes };
}
