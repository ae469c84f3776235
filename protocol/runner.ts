/**
 * Control plane ⇄ runner, JSON text frames over one WebSocket that the runner dials (`GET /runner/v1`, with its secret as
 * the bearer token: `runner-identity.ts`).
 *
 * Every message about a job carries its `epoch`, the fencing token of the lease: the control plane accepts a write only
 * for the epoch that is current in Postgres, from the runner that holds it, and answers any other with `stale`, upon which
 * the runner must stop.
 * `checkpoint`, `finished`, `failed` and `stopped` are repeated by the runner (also over a new socket) until `recorded`.
 */
import { z } from "zod";
import { DeviceId, RunnerId, Sha256Hex, VideoId } from "./id.ts";

export const RUNNER_PROTOCOL_VERSION = 1;
export const RUNNER_FRAME_BYTES_MAX = 256 * 1024;
export const LEASE_MS = 15_000;
export const HEARTBEAT_MS = 5_000;
export const ASSIGN_ACK_MS = 2_000;
/** How long a runner whose socket closed may redial before its jobs are given to others. */
export const REDIAL_GRACE_MS = 1_500;

/** Of a PUT to a lease-bound URL: the SHA-256 of its bytes, in base64. S3 has the same header, and checks it too. */
export const CHECKSUM_HEADER = "x-amz-checksum-sha256";
/** Sent beside it: some stores keep no checksum without. */
export const CHECKSUM_KIND = { "x-amz-sdk-checksum-algorithm": "SHA256" } as const;

/** Counters of a job are stored in 32 bits. */
const INT4_MAX = 2 ** 31 - 1;

/** Why a control plane closes a runner's socket; others are the WebSocket protocol's. The reason names the leader, if it is known. */
export const CLOSE_NOT_LEADER = 4_200;
/** Another process dialled under the runner's name. */
export const CLOSE_REPLACED = 4_009;
/** The runner's secret counts no more: the operator revoked it, or the runner has another. */
export const CLOSE_REVOKED = 4_001;

const Epoch = z.int().positive().max(INT4_MAX);
/** Names one attempt: a job under one lease. */
export const LeaseRef = z.object({ job: VideoId, epoch: Epoch });
export type LeaseRef = z.infer<typeof LeaseRef>;

/** For maps and logs. */
export function leaseName(lease: LeaseRef): string {
  return `${lease.job}/${lease.epoch}`;
}

export const Exactness = z.enum(["exact", "numerical"]);
export type Exactness = z.infer<typeof Exactness>;

/** What an engine can do; decides what the scheduler may ask of it. */
export const EngineCaps = z.object({
  checkpoint: z.enum(["exact", "numerical", "none"]),
  step_progress: z.boolean(),
  cancel: z.enum(["step", "stage", "process"]),
});
export type EngineCaps = z.infer<typeof EngineCaps>;

export const RUNNER_DEVICES_MAX = 64;
export const DEVICE_SLOTS_MAX = 16;
/** Leases of one runner: every slot, and endings that are not recorded yet. */
const RUNNER_LEASES_MAX = 1_024;

/** Up to `slots` single-device jobs share a device; a gang takes its devices whole. */
export const Device = z.object({
  id: DeviceId,
  gpu: z.string().max(64),
  vram_bytes: z.int().nonnegative(),
  slots: z.int().min(1).max(DEVICE_SLOTS_MAX).default(1),
});
export type Device = z.infer<typeof Device>;

export const TELEMETRY_MS = 5_000;

/** How a device is; null is what its driver does not tell. */
export const DeviceTelemetry = z.object({
  id: DeviceId,
  /** Percent of the time in which something ran. */
  utilization: z.number().min(0).max(100).nullable(),
  memory_used_bytes: z.int().nonnegative().nullable(),
  temperature_c: z.number().nullable(),
  power_w: z.number().nullable(),
  /** Uncorrected, since its driver was loaded. */
  ecc_errors: z.int().nonnegative().nullable(),
});
export type DeviceTelemetry = z.infer<typeof DeviceTelemetry>;

/** What to render. Seconds × fps = frames; width and height are the asked size (engines pad inside). */
export const RunSpec = z.object({
  model: z.string(),
  prompt: z.string(),
  negative_prompt: z.string(),
  width: z.int().positive(),
  height: z.int().positive(),
  fps: z.int().positive(),
  frames: z.int().positive(),
  steps: z.int().positive(),
  seed: z.int().nonnegative(),
  /** A draft ends after this many of its steps: with a checkpoint there, and with how the video looks so far. */
  stop_after: z.int().positive().nullable().default(null),
  reference: z.object({ url: z.string(), sha256: Sha256Hex, media_type: z.string() }).nullable(),
});
export type RunSpec = z.infer<typeof RunSpec>;

/** Where to start: after `step` denoise steps, from the checkpoint behind a lease-bound URL. */
export const Resume = z.object({
  step: z.int().positive(),
  url: z.string(),
  sha256: Sha256Hex,
  bytes: z.int(),
  /** Whose attempt wrote it: the job itself, or the draft whose rest it is. */
  written_for: VideoId,
});
export type Resume = z.infer<typeof Resume>;

export const Stage = z.enum(["load", "encode", "denoise", "decode", "upload"]);
export type Stage = z.infer<typeof Stage>;

export const UploadKind = z.enum(["checkpoint", "artifact"]);

export const RunErrorClass = z.enum(["user", "capacity", "retryable", "engine_fatal", "gpu_fatal", "host_fatal"]);
export const RunError = z.object({
  class: RunErrorClass,
  code: z.string().max(64),
  detail: z.string().max(2_000),
});
export type RunError = z.infer<typeof RunError>;

/** The finished MP4 and the hashes by which two renderings are compared. */
export const Artifact = z.object({
  sha256: Sha256Hex,
  bytes: z.int().positive(),
  latents_sha256: Sha256Hex.nullable(),
  frames_sha256: Sha256Hex.nullable(),
});
export type Artifact = z.infer<typeof Artifact>;

export const FromRunner = z.discriminatedUnion("t", [
  z.object({
    t: z.literal("hello"),
    version: z.literal(RUNNER_PROTOCOL_VERSION),
    runner: RunnerId,
    build: z.string().max(64),
    engine: z.string().max(64),
    models: z.array(z.string().max(64)).max(64),
    caps: EngineCaps,
    devices: z.array(Device).min(1).max(RUNNER_DEVICES_MAX),
    /** Attempts that are still alive here, e.g. after a redial. */
    leases: z.array(LeaseRef.extend({ devices: z.array(DeviceId) })).max(RUNNER_LEASES_MAX),
  }),
  /** `beat` counts up over the runner's life. */
  z.object({
    t: z.literal("heartbeat"),
    beat: z.int().nonnegative(),
    leases: z.array(LeaseRef).max(RUNNER_LEASES_MAX),
  }),
  z.object({ t: z.literal("accepted"), lease: LeaseRef }),
  z.object({ t: z.literal("refused"), lease: LeaseRef, reason: z.enum(["busy", "draining", "unknown_model"]) }),
  z.object({ t: z.literal("stage"), lease: LeaseRef, stage: Stage }),
  /** `done` of `of` units of the stage (denoise: steps; decode: frames); ms is the time of the last unit. */
  z.object({
    t: z.literal("step"),
    lease: LeaseRef,
    stage: Stage,
    done: z.int().nonnegative(),
    of: z.int().positive(),
    ms: z.number().nonnegative(),
  }),
  z.object({ t: z.literal("upload"), lease: LeaseRef, kind: UploadKind, sha256: Sha256Hex, bytes: z.int().positive() }),
  z.object({
    t: z.literal("checkpoint"),
    lease: LeaseRef,
    step: z.int().positive().max(INT4_MAX),
    sha256: Sha256Hex,
    bytes: z.int().positive(),
    exactness: Exactness,
  }),
  z.object({ t: z.literal("finished"), lease: LeaseRef, artifact: Artifact }),
  z.object({ t: z.literal("failed"), lease: LeaseRef, error: RunError }),
  z.object({
    t: z.literal("stopped"),
    lease: LeaseRef,
    why: z.enum(["preempt", "cancel", "drain"]),
    step: z.int().nonnegative().max(INT4_MAX),
  }),
  z.object({ t: z.literal("telemetry"), devices: z.array(DeviceTelemetry).max(RUNNER_DEVICES_MAX) }),
  /** The runner takes no more work and will go once its leases ended. */
  z.object({ t: z.literal("draining") }),
]);
export type FromRunner = z.infer<typeof FromRunner>;

export const ToRunner = z.discriminatedUnion("t", [
  z.object({ t: z.literal("welcome"), lease_ms: z.int(), heartbeat_ms: z.int() }),
  z.object({
    t: z.literal("assign"),
    lease: LeaseRef,
    devices: z.array(DeviceId).min(1),
    lease_ms: z.int(),
    spec: RunSpec,
    resume: Resume.nullable(),
  }),
  /** Answer to the heartbeat `beat`: these leases run on for `lease_ms` from when it was *sent*. */
  z.object({ t: z.literal("renewed"), beat: z.int().nonnegative(), leases: z.array(LeaseRef), lease_ms: z.int() }),
  /** Where to PUT (`content-length` and `CHECKSUM_HEADER` as announced); lease-bound, short-lived. */
  z.object({ t: z.literal("upload_url"), lease: LeaseRef, kind: UploadKind, sha256: Sha256Hex, url: z.string() }),
  z.object({
    t: z.literal("recorded"),
    lease: LeaseRef,
    what: z.enum(["checkpoint", "finished", "failed", "stopped"]),
    sha256: Sha256Hex.nullable(),
  }),
  /** This epoch is over: stop at once, write nothing more. */
  z.object({ t: z.literal("stale"), lease: LeaseRef }),
  z.object({ t: z.literal("stop"), lease: LeaseRef, why: z.enum(["preempt", "cancel"]), deadline_ms: z.int() }),
]);
export type ToRunner = z.infer<typeof ToRunner>;
