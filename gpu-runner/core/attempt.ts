/**
 * One attempt on this runner: a job under one lease, from `assign` until the control plane recorded how it ended.
 *
 * rendering → (stopping →) ending → gone. While rendering, at most one checkpoint is on its way, and the newest waits behind it.
 * An ending is sent again on every new socket until `recorded`; a preempted attempt first waits for its checkpoint.
 * After `stale` or expiry the attempt is dropped and nothing about its lease is said again.
 */
import type { DeviceId, Sha256Hex } from "#protocol/id.ts";
import type { Artifact, Exactness, FromRunner, LeaseRef, Resume, RunError, RunSpec, Stage } from "#protocol/runner.ts";

export type StopWhy = "preempt" | "cancel" | "drain";
export type UploadKind = "checkpoint" | "artifact";

export type EngineReport =
  | { readonly t: "stage"; readonly stage: Stage }
  | { readonly t: "step"; readonly stage: Stage; readonly done: number; readonly of: number; readonly ms: number }
  | {
      readonly t: "checkpoint";
      readonly step: number;
      readonly path: string;
      readonly sha256: Sha256Hex;
      readonly bytes: number;
      readonly exactness: Exactness;
    }
  /** The weights were not on the device, and are now. */
  | { readonly t: "loaded"; readonly model: string; readonly from: "disk" | "memory"; readonly seconds: number }
  /** A checkpoint was due and the disk did not take it; the rendering goes on. */
  | { readonly t: "unsaved"; readonly step: number; readonly detail: string }
  | { readonly t: "artifact"; readonly path: string; readonly artifact: Artifact }
  | { readonly t: "stopped"; readonly step: number }
  | { readonly t: "failed"; readonly error: RunError };

export type Effect =
  | { readonly t: "send"; readonly frame: FromRunner }
  | {
      readonly t: "run";
      readonly lease: LeaseRef;
      readonly devices: readonly DeviceId[];
      readonly spec: RunSpec;
      readonly resume: Resume | null;
    }
  | { readonly t: "stop"; readonly lease: LeaseRef; readonly why: StopWhy }
  /** Ends the engine's run and every transfer of the lease at once. */
  | { readonly t: "kill"; readonly lease: LeaseRef }
  | {
      readonly t: "upload";
      readonly lease: LeaseRef;
      readonly kind: UploadKind;
      readonly sha256: Sha256Hex;
      readonly bytes: number;
      readonly path: string;
      readonly url: string;
    }
  /** A checkpoint that will not be uploaded: its file may go. */
  | { readonly t: "discard"; readonly path: string }
  /** The lease is over: its scratch folder may go. */
  | { readonly t: "forget"; readonly lease: LeaseRef }
  /** The link is dead or suspect: close it and dial again. */
  | { readonly t: "redial" }
  | { readonly t: "exit" };

/** A file on its way: ask for a URL, PUT, announce; each repeated over a new socket. */
export interface Parcel {
  readonly kind: UploadKind;
  readonly path: string;
  readonly sha256: Sha256Hex;
  readonly bytes: number;
  readonly phase: "asking" | "sending" | "announcing";
  readonly asks: number;
  /** What to say once it is there: the checkpoint's step and worth, or the finished artifact. */
  readonly announce: { readonly step: number; readonly exactness: Exactness } | { readonly artifact: Artifact };
}

export type Ending = Extract<FromRunner, { t: "failed" | "stopped" }>;

export interface Attempt {
  readonly lease: LeaseRef;
  readonly devices: readonly DeviceId[];
  readonly leaseUntilMs: number;
  /** What it leaves is a checkpoint as much as a video. */
  readonly isDraft: boolean;
  readonly rendering: boolean;
  readonly stage: Stage | null;
  /** The newest report, kept only while the link is down. */
  readonly unsentStep: Extract<FromRunner, { t: "step" }> | null;
  readonly step: number;
  readonly parcel: Parcel | null;
  readonly nextParcel: Parcel | null;
  readonly stopping: { readonly why: StopWhy; readonly untilMs: number } | null;
  readonly ending: Ending | null;
}

export interface Turn {
  readonly attempt: Attempt | null;
  readonly effects: readonly Effect[];
}

/** How often a URL is asked for one file before it is given up (an expired URL, a store that refuses). */
export const UPLOAD_ASKS_MAX = 4;

export function beginAttempt(
  lease: LeaseRef,
  devices: readonly DeviceId[],
  resumedStep: number,
  leaseUntilMs: number,
  isDraft: boolean,
): Attempt {
  return {
    lease,
    devices,
    leaseUntilMs,
    isDraft,
    rendering: true,
    stage: null,
    unsentStep: null,
    step: resumedStep,
    parcel: null,
    nextParcel: null,
    stopping: null,
    ending: null,
  };
}

export function onEngine(attempt: Attempt, report: EngineReport, up: boolean): Turn {
  if (!attempt.rendering) return { attempt, effects: [] };
  const { lease } = attempt;
  switch (report.t) {
    case "stage":
      return {
        attempt: { ...attempt, stage: report.stage },
        effects: sendIf(up, { t: "stage", lease, stage: report.stage }),
      };
    case "step": {
      const { stage, done, of, ms } = report;
      const frame = { t: "step", lease, stage, done, of, ms } as const;
      const step = stage === "denoise" ? done : attempt.step;
      return { attempt: { ...attempt, step, unsentStep: up ? null : frame }, effects: sendIf(up, frame) };
    }
    case "checkpoint": {
      const { step, path, sha256, bytes, exactness } = report;
      return post(attempt, makeParcel("checkpoint", path, sha256, bytes, { step, exactness }), up);
    }
    case "loaded":
    case "unsaved":
      return { attempt, effects: [] };
    case "artifact": {
      const { path, artifact } = report;
      const parcel = makeParcel("artifact", path, artifact.sha256, artifact.bytes, { artifact });
      const done = { ...attempt, rendering: false, stage: "upload" as const };
      const posted = attempt.isDraft ? postLast(done, parcel, up) : postAlone(done, parcel, up);
      return { ...posted, effects: [...sendIf(up, { t: "stage", lease, stage: "upload" }), ...posted.effects] };
    }
    case "stopped": {
      const why = attempt.stopping?.why ?? "drain";
      return settle({ ...attempt, rendering: false, ending: { t: "stopped", lease, why, step: report.step } }, up);
    }
    case "failed":
      return settle({ ...attempt, rendering: false, ending: { t: "failed", lease, error: report.error } }, up);
    default:
      return report satisfies never;
  }
}

export function onUploadUrl(attempt: Attempt, kind: UploadKind, sha256: Sha256Hex, url: string): Turn {
  const { parcel, lease } = attempt;
  if (parcel === null || parcel.kind !== kind || parcel.sha256 !== sha256 || parcel.phase !== "asking") {
    return { attempt, effects: [] };
  }
  const { path, bytes } = parcel;
  return {
    attempt: { ...attempt, parcel: { ...parcel, phase: "sending" } },
    effects: [{ t: "upload", lease, kind, sha256, bytes, path, url }],
  };
}

/** Why a PUT did not work, after the tries that one URL is worth. */
export interface UploadFailure {
  readonly code: "upload_failed" | "storage_full";
  readonly detail: string;
}

export function onUploaded(attempt: Attempt, sha256: Sha256Hex, failure: UploadFailure | null, up: boolean): Turn {
  const { parcel } = attempt;
  if (parcel === null || parcel.sha256 !== sha256 || parcel.phase !== "sending") return { attempt, effects: [] };
  if (failure === null) {
    const announced = { ...attempt, parcel: { ...parcel, phase: "announcing" as const } };
    return { attempt: announced, effects: up ? speakParcel(announced) : [] };
  }
  // Another URL leads into the same full store.
  if (failure.code === "upload_failed" && parcel.asks < UPLOAD_ASKS_MAX) {
    const again = { ...attempt, parcel: { ...parcel, phase: "asking" as const, asks: parcel.asks + 1 } };
    return { attempt: again, effects: up ? speakParcel(again) : [] };
  }
  if (parcel.kind === "checkpoint") {
    const next = nextParcel(attempt, up);
    return { ...next, effects: [...discard(parcel), ...next.effects] };
  }
  const error = { class: "retryable", ...failure } as const;
  return settle({ ...attempt, parcel: null, ending: { t: "failed", lease: attempt.lease, error } }, up);
}

export function onRecorded(
  attempt: Attempt,
  what: "checkpoint" | "finished" | "failed" | "stopped",
  sha256: Sha256Hex | null,
  up: boolean,
): Turn {
  const { parcel, lease } = attempt;
  if (what === "checkpoint") {
    return parcel?.kind === "checkpoint" && parcel.sha256 === sha256
      ? nextParcel(attempt, up)
      : { attempt, effects: [] };
  }
  const over = what === "finished" ? parcel?.kind === "artifact" : attempt.ending?.t === what;
  return over ? { attempt: null, effects: [{ t: "forget", lease }] } : { attempt, effects: [] };
}

export function onStop(attempt: Attempt, why: StopWhy, untilMs: number): Turn {
  if (!attempt.rendering || attempt.stopping?.why === "cancel" || attempt.stopping?.why === why) {
    return { attempt, effects: [] };
  }
  return { attempt: { ...attempt, stopping: { why, untilMs } }, effects: [{ t: "stop", lease: attempt.lease, why }] };
}

/** The engine did not stop in time: it is ended by force, and the last recorded checkpoint must do. */
export function onStopOverdue(attempt: Attempt, up: boolean): Turn {
  const { lease, stopping, step } = attempt;
  if (stopping === null || !attempt.rendering) return { attempt, effects: [] };
  const forced = settle({ ...attempt, rendering: false, ending: { t: "stopped", lease, why: stopping.why, step } }, up);
  return { ...forced, effects: [{ t: "kill", lease }, ...forced.effects] };
}

/** Everything that a new socket must hear again. */
export function resay(attempt: Attempt): Turn {
  const effects: Effect[] = [];
  const { lease, stage, unsentStep, ending, parcel } = attempt;
  if (stage !== null) effects.push({ t: "send", frame: { t: "stage", lease, stage } });
  if (unsentStep !== null) effects.push({ t: "send", frame: unsentStep });
  effects.push(...speakParcel(attempt));
  if (ending !== null && parcel === null) effects.push({ t: "send", frame: ending });
  return { attempt: { ...attempt, unsentStep: null }, effects };
}

function makeParcel(
  kind: UploadKind,
  path: string,
  sha256: Sha256Hex,
  bytes: number,
  announce: Parcel["announce"],
): Parcel {
  return { kind, path, sha256, bytes, phase: "asking", asks: 1, announce };
}

/** A file goes out at once if the way is free; else it replaces whatever older one waits. */
function post(attempt: Attempt, parcel: Parcel, up: boolean): Turn {
  if (attempt.parcel !== null) {
    return { attempt: { ...attempt, nextParcel: parcel }, effects: discard(attempt.nextParcel) };
  }
  const posted = { ...attempt, parcel };
  return { attempt: posted, effects: up ? speakParcel(posted) : [] };
}

/** A checkpoint still on its way is worth nothing now. */
function postAlone(attempt: Attempt, parcel: Parcel, up: boolean): Turn {
  return post({ ...attempt, parcel: null, nextParcel: null }, parcel, up);
}

/** The newest checkpoint first: it is the draft's, and the lease is over once the video is recorded. */
function postLast(attempt: Attempt, parcel: Parcel, up: boolean): Turn {
  if (attempt.nextParcel === null) return post(attempt, parcel, up);
  const before = { ...attempt, parcel: attempt.nextParcel, nextParcel: parcel };
  return { attempt: before, effects: up ? speakParcel(before) : [] };
}

function nextParcel(attempt: Attempt, up: boolean): Turn {
  const moved = { ...attempt, parcel: attempt.nextParcel, nextParcel: null };
  if (moved.parcel !== null) return { attempt: moved, effects: up ? speakParcel(moved) : [] };
  return settle(moved, up);
}

/** Says how it ended, once no checkpoint is on its way that the next attempt should find. */
function settle(attempt: Attempt, up: boolean): Turn {
  const { ending } = attempt;
  if (ending === null) return { attempt, effects: [] };
  const keeps = ending.t === "stopped" && ending.why !== "cancel";
  const settled = keeps ? attempt : { ...attempt, parcel: null, nextParcel: null };
  return { attempt: settled, effects: settled.parcel === null ? sendIf(up, ending) : [] };
}

function speakParcel({ lease, parcel }: Attempt): Effect[] {
  if (parcel === null || parcel.phase === "sending") return [];
  const { kind, sha256, bytes, announce } = parcel;
  if (parcel.phase === "asking") return [{ t: "send", frame: { t: "upload", lease, kind, sha256, bytes } }];
  if ("artifact" in announce) return [{ t: "send", frame: { t: "finished", lease, artifact: announce.artifact } }];
  const { step, exactness } = announce;
  return [{ t: "send", frame: { t: "checkpoint", lease, step, sha256, bytes, exactness } }];
}

/** Checkpoints that wait behind a slow store must not fill the disk. */
function discard(parcel: Parcel | null): Effect[] {
  return parcel === null ? [] : [{ t: "discard", path: parcel.path }];
}

function sendIf(up: boolean, frame: FromRunner): Effect[] {
  return up ? [{ t: "send", frame }] : [];
}
