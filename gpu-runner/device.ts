/**
 * The devices of this host and what runs on them, each slot with an engine of its own. A run first fetches its checkpoint and reference image into a folder
 * of its own, then the engine starts; killing it at any point leaves nothing behind but the folder, which `forget` removes.
 */
import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { totalmem } from "node:os";
import { DeviceId, type Sha256Hex } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";
import type { Device, LeaseRef, Resume, RunError, RunSpec } from "#protocol/runner.ts";
import type { DeclaredDevices } from "./config.ts";
import type { Engine, EngineDevice, EngineEvent, EngineRun, StopWhy } from "./engine.ts";
import { isStorageFull, reasonOf, storageFull } from "./storage-fault.ts";
import { getFile, putFile, WrongHashError } from "./transfer.ts";

const GPU_NAME_CHARS_MAX = 64;

export interface Assignment {
  readonly lease: LeaseRef;
  readonly devices: readonly DeviceId[];
  readonly spec: RunSpec;
  readonly resume: Resume | null;
}

export interface Upload {
  readonly lease: LeaseRef;
  readonly path: string;
  readonly bytes: number;
  readonly sha256: Sha256Hex;
  readonly url: string;
}

interface Run {
  readonly abort: AbortController;
  /** Its slot's engine, until it ends. */
  slot: EngineDevice | null;
  engine: EngineRun | null;
  stopping: StopWhy | null;
}

export class DeviceBay {
  readonly devices: readonly Device[];
  readonly #dir: string;
  /** One a slot. */
  readonly #engines: ReadonlyMap<DeviceId, readonly EngineDevice[]>;
  readonly #runs = new Map<string, Run>();

  /** `dir` belongs to this process alone: what an earlier one left there is removed by `open`. */
  private constructor(dir: string, engine: Engine, { count, vramBytes, slots }: DeclaredDevices) {
    this.#dir = dir;
    this.devices = Array.from({ length: count }, (_, index) => ({
      ...deviceAt(index, engine, { count, vramBytes, slots }),
      slots,
    }));
    this.#engines = new Map(
      this.devices.map(({ id }, index) => [id, Array.from({ length: slots }, () => engine.openDevice(index))]),
    );
  }

  static async open(dir: string, engine: Engine, devices: DeclaredDevices): Promise<DeviceBay> {
    const attempts = join(dir, "attempts");
    await rm(attempts, { recursive: true, force: true });
    await mkdir(attempts, { recursive: true });
    return new DeviceBay(attempts, engine, devices);
  }

  /** The session has checked that there is room. */
  run(assignment: Assignment, emit: (event: EngineEvent) => void): void {
    const slot = this.#freeSlot(assignment.devices[0] as DeviceId);
    const run: Run = { abort: new AbortController(), slot, engine: null, stopping: null };
    this.#runs.set(folderOf(assignment.lease), run);
    const tell = (event: EngineEvent): void => {
      if (ENDINGS.has(event.t)) run.slot = null;
      emit(event);
    };
    this.#begin(assignment, run, slot, tell).catch((fault: unknown) => {
      if (!run.abort.signal.aborted) tell({ t: "failed", error: errorOf(fault) });
    });
  }

  stop(lease: LeaseRef, why: StopWhy): void {
    const run = this.#runs.get(folderOf(lease));
    if (run === undefined) return;
    run.stopping ??= why;
    run.engine?.stop(why);
  }

  kill(lease: LeaseRef): void {
    const run = this.#runs.get(folderOf(lease));
    run?.abort.abort();
    run?.engine?.kill();
    if (run !== undefined) run.slot = null;
  }

  async forget(lease: LeaseRef): Promise<void> {
    this.kill(lease);
    this.#runs.delete(folderOf(lease));
    await rm(join(this.#dir, folderOf(lease)), { recursive: true, force: true });
  }

  /** Rejects when the transfer failed for good, or was aborted by `kill`; `beforeTry` may kill an expired lease. */
  async upload({ lease, path, bytes, sha256, url }: Upload, beforeTry: () => void): Promise<void> {
    const run = this.#runs.get(folderOf(lease));
    await putFile(path, bytes, sha256, url, run?.abort.signal ?? AbortSignal.abort(), beforeTry);
    if (path.endsWith(".safetensors")) await rm(path, { force: true });
  }

  async close(): Promise<void> {
    for (const run of this.#runs.values()) run.abort.abort();
    await Promise.all([...this.#engines.values()].flat().map((engine) => engine.close()));
    await rm(this.#dir, { recursive: true, force: true });
  }

  #freeSlot(device: DeviceId): EngineDevice | null {
    const taken = new Set([...this.#runs.values()].map((run) => run.slot));
    return this.#engines.get(device)?.find((engine) => !taken.has(engine)) ?? null;
  }

  async #begin(
    { lease, devices, spec, resume }: Assignment,
    run: Run,
    slot: EngineDevice | null,
    emit: (event: EngineEvent) => void,
  ): Promise<void> {
    invariant(slot !== null, `device ${devices[0]} has room for what the session took`);
    const { signal } = run.abort;
    const dir = join(this.#dir, folderOf(lease));
    await mkdir(dir, { recursive: true });
    const checkpoint =
      resume === null ? null : { path: join(dir, "resume.safetensors"), writtenFor: resume.written_for };
    if (resume !== null && checkpoint !== null) {
      await fetching(CHECKPOINT_FAULTS, getFile(resume.url, resume.sha256, checkpoint.path, signal));
    }
    const referencePath = spec.reference === null ? null : join(dir, "reference");
    if (spec.reference !== null && referencePath !== null) {
      await fetching(REFERENCE_FAULTS, getFile(spec.reference.url, spec.reference.sha256, referencePath, signal));
    }
    if (signal.aborted) return;
    if (run.stopping !== null) return emit({ t: "stopped", step: resume?.step ?? 0 });
    // The whole gang is ours (the session gives none of it to another); its first device leads.
    run.engine = slot.start({ lease, spec, dir, checkpoint, referencePath }, emit);
  }
}

/** On a CPU, undeclared, the host's memory is shared out among its devices. */
function deviceAt(index: number, { gpus }: Engine, { count, vramBytes }: DeclaredDevices): Omit<Device, "slots"> {
  if (gpus === null) {
    const id = DeviceId.parse(`cpu-${index}`);
    return { id, gpu: "CPU", vram_bytes: vramBytes ?? Math.floor(totalmem() / count) };
  }
  const gpu = gpus[index];
  if (gpu === undefined) throw new Error(`${count} devices are declared, and there are ${gpus.length} GPUs`);
  const id = DeviceId.parse(`gpu-${index}`);
  return { id, gpu: gpu.name.slice(0, GPU_NAME_CHARS_MAX), vram_bytes: vramBytes ?? gpu.vramBytes };
}

/** A run that said one of these uses its engine no more. */
const ENDINGS: ReadonlySet<EngineEvent["t"]> = new Set<EngineEvent["t"]>(["artifact", "stopped", "failed"]);

const CHECKPOINT_FAULTS = { absent: "checkpoint_unavailable", damaged: "bad_checkpoint" };
const REFERENCE_FAULTS = { absent: "reference_unavailable", damaged: "reference_unavailable" };

class PrepareError extends Error {
  override readonly name = "PrepareError";
  readonly code: string;
  constructor(code: string, cause: unknown) {
    super(cause instanceof Error ? cause.message : String(cause), { cause });
    this.code = code;
  }
}

async function fetching(codes: { readonly absent: string; readonly damaged: string }, transfer: Promise<void>) {
  try {
    await transfer;
  } catch (cause) {
    throw new PrepareError(cause instanceof WrongHashError ? codes.damaged : codes.absent, cause);
  }
}

function errorOf(fault: unknown): RunError {
  // Not the file's fault, whatever was being fetched: a good checkpoint must not be given up for it.
  if (isStorageFull(fault)) return storageFull(fault);
  const code = fault instanceof PrepareError ? fault.code : "prepare_failed";
  return { class: "retryable", code, detail: reasonOf(fault) };
}

function folderOf(lease: LeaseRef): string {
  return `${lease.job}-${lease.epoch}`;
}
