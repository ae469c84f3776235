/**
 * A device whose videos are made by a server with an API of OpenAI's kind.
 *
 * Nothing can be paused there: a run that is stopped is lost, and begins anew elsewhere. Progress is estimated from how long
 * videos took before. A cancel has two phases: the server is told, and the run says that it stopped once the device is free.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { invariant } from "#protocol/invariant.ts";
import type { RunError } from "#protocol/runner.ts";
import type { EngineDevice, EngineEvent, EngineJob, EngineRun, StopWhy } from "../../engine.ts";
import { isStorageFull, reasonOf, storageFull } from "../../storage-fault.ts";
import { Pace } from "./pace.ts";
import { Seat, Unfit } from "./seat.ts";
import type { ServerEntry } from "./server-file.ts";
import { type Order, ServerLost, ServerRefused, type VideoServer } from "./video-server.ts";

const POLL_MS = 500;
/** However quick videos of its kind were, never less than this is called a hang. */
const HANG_MS_MIN = 60_000;
const HANG_MULTIPLE = 3;
const BUSY: ReadonlySet<number> = new Set([429, 503]);
/** What was asked for cannot be had; other refusals say more about the server than about the request. */
const REFUSED: ReadonlySet<number> = new Set([400, 413, 422]);
const OUT_OF_MEMORY = /out of memory|\boom\b/i;
/** Bytes 4 to 8 of an MP4. */
const FTYP = "ftyp";

export interface ServerDeviceOptions {
  readonly models: ReadonlyMap<string, ServerEntry>;
  /** Shorten waits in tests. */
  readonly pollMs?: number;
  readonly hangMsMin?: number;
}

interface Run {
  readonly job: EngineJob;
  readonly entry: ServerEntry;
  readonly emit: (event: EngineEvent) => void;
  readonly killed: AbortController;
  /** Aborted by a stop: ends the pause between two looks. */
  readonly woken: AbortController;
  stopping: StopWhy | null;
  /** The server's name for it, once it has one. */
  id: string | null;
  stepsDone: number;
}

/** The server says that it failed. */
class RenderFailed extends Error {
  override readonly name = "RenderFailed";
}
class Overdue extends Error {
  override readonly name = "Overdue";
}

export class ServerDevice implements EngineDevice {
  readonly #options: ServerDeviceOptions;
  readonly #seat: Seat;
  readonly #pace = new Pace();
  #run: Run | null = null;

  constructor(options: ServerDeviceOptions, index: number, gpu: string | null) {
    this.#options = options;
    this.#seat = new Seat(index, gpu);
  }

  /** For tests and diagnosis. */
  get pid(): number | null {
    return this.#seat.pid;
  }

  start(job: EngineJob, emit: (event: EngineEvent) => void): EngineRun {
    const entry = this.#options.models.get(job.spec.model);
    invariant(entry !== undefined, "the session takes only jobs of models that it announced");
    const [killed, woken] = [new AbortController(), new AbortController()];
    const run: Run = { job, entry, emit, killed, woken, stopping: null, id: null, stepsDone: 0 };
    this.#run = run;
    this.#render(run).catch((fault: unknown) => this.#broke(run, fault));
    return {
      stop: (why) => {
        run.stopping ??= why;
        woken.abort();
      },
      kill: () => this.#kill(run),
    };
  }

  async close(): Promise<void> {
    if (this.#run !== null) this.#kill(this.#run);
    await this.#seat.leave();
  }

  async #render(run: Run): Promise<void> {
    const { job, entry, killed } = run;
    run.emit({ t: "stage", stage: "load" });
    const server = await this.#seat.serverFor(entry, killed.signal);
    if (run.stopping !== null) return this.#finish(run, { t: "stopped", step: 0 });
    run.emit({ t: "stage", stage: "encode" });
    run.id = (await server.create(orderOf(job, entry), killed.signal)).id;
    if (!(await this.#made(run, server, run.id))) return this.#stopped(run, run.id);
    run.emit({ t: "stage", stage: "decode" });
    const path = join(job.dir, "video.mp4");
    const file = await server.fetch(run.id, path, killed.signal);
    if (!(await isMp4(path))) throw new RenderFailed("what the server made is no MP4");
    const artifact = { ...file, latents_sha256: null, frames_sha256: null };
    // Its record and file are of no more use; that they stay is the server's business.
    void server.drop(run.id, AbortSignal.timeout(this.#pollMs * 10)).catch(() => undefined);
    this.#finish(run, { t: "artifact", path, artifact });
  }

  /** False if it is to stop before the video is made. */
  async #made(run: Run, server: VideoServer, id: string): Promise<boolean> {
    const { spec } = run.job;
    const askedAt = performance.now();
    let began: number | null = null;
    for (;;) {
      if (run.stopping !== null) return false;
      if (this.#seat.ended) throw new ServerLost("the video server's process ended");
      const job = await server.read(id, run.killed.signal);
      if (job === null) throw new ServerLost("the server does not know the video any more: it was started anew");
      if (job.status === "failed") throw new RenderFailed(job.error?.message ?? "the server gives no reason");
      const now = performance.now();
      // SGLang says `queued` until it is done; nobody else uses the server.
      if (began === null && (job.status !== "queued" || run.entry.api === "sglang")) {
        began = now;
        run.emit({ t: "stage", stage: "denoise" });
      }
      if (job.status === "completed") {
        this.#pace.learn(spec, now - (began ?? askedAt));
        this.#tell(run, spec.steps, now - (began ?? askedAt));
        return true;
      }
      if (began !== null) this.#tell(run, this.#pace.doneSteps(spec, now - began), now - began);
      if (now - askedAt > this.#limitMs(run)) throw new Overdue(`it is not done after ${Math.round(now - askedAt)} ms`);
      await pause(this.#pollMs, undefined, { signal: AbortSignal.any([run.woken.signal, run.killed.signal]) }).catch(
        () => undefined,
      );
      run.killed.signal.throwIfAborted();
    }
  }

  /** Each step once, as if it had been seen. */
  #tell(run: Run, done: number, sinceMs: number): void {
    const of = run.job.spec.steps;
    while (run.stepsDone < done) {
      run.stepsDone++;
      run.emit({ t: "step", stage: "denoise", done: run.stepsDone, of, ms: sinceMs / done });
    }
  }

  /** What was rendered is lost to whoever goes on; a cancel pays for what was probably done. */
  async #stopped(run: Run, id: string): Promise<void> {
    await this.#seat.free(id);
    this.#finish(run, { t: "stopped", step: run.stopping === "cancel" ? run.stepsDone : 0 });
  }

  #limitMs({ job, entry }: Run): number {
    const knownMs = this.#pace.knownMs(job.spec);
    const hangMs = Math.max(this.#options.hangMsMin ?? HANG_MS_MIN, HANG_MULTIPLE * (knownMs ?? Infinity));
    return Math.min(entry.video_s * 1_000, hangMs);
  }

  #broke(run: Run, fault: unknown): void {
    if (this.#run !== run) return;
    const error = errorOf(fault);
    if (fault instanceof Overdue && run.id !== null) void this.#seat.free(run.id);
    else if (error.class !== "user" && error.class !== "retryable") this.#seat.suspect();
    this.#finish(run, { t: "failed", error });
  }

  #kill(run: Run): void {
    if (this.#run !== run) return;
    this.#run = null;
    run.killed.abort();
    // A create that was not answered may have begun something: the next run finds out whether the server is idle.
    if (run.id === null) this.#seat.suspect();
    else void this.#seat.free(run.id);
  }

  /** The last word about a run; nothing is said about it afterwards. */
  #finish(run: Run, ending: Extract<EngineEvent, { t: "artifact" | "stopped" | "failed" }>): void {
    if (this.#run !== run) return;
    this.#run = null;
    run.emit(ending);
  }

  get #pollMs(): number {
    return this.#options.pollMs ?? POLL_MS;
  }
}

function orderOf({ spec, referencePath }: EngineJob, entry: ServerEntry): Order {
  const { prompt, width, height, fps, frames, steps, seed } = spec;
  const negativePrompt = spec.negative_prompt === "" ? entry.negative_prompt : spec.negative_prompt;
  return { prompt, negativePrompt, width, height, fps, frames, steps, seed, referencePath };
}

async function isMp4(path: string): Promise<boolean> {
  await using file = await open(path);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(8), 0, 8, 0);
  return bytesRead === 8 && buffer.toString("latin1", 4) === FTYP;
}

function errorOf(fault: unknown): RunError {
  const detail = reasonOf(fault);
  if (isStorageFull(fault)) return storageFull(fault);
  if (fault instanceof Unfit) return { class: "gpu_fatal", code: "server_unfit", detail };
  if (fault instanceof Overdue) return { class: "engine_fatal", code: "hung_step", detail };
  if (fault instanceof ServerLost) return { class: "engine_fatal", code: "server_lost", detail };
  if (fault instanceof ServerRefused) {
    if (BUSY.has(fault.status)) return { class: "retryable", code: "server_busy", detail };
    if (!REFUSED.has(fault.status)) return { class: "engine_fatal", code: "server_failed", detail };
    return { class: "user", code: "refused_by_engine", detail: `The engine refused this request: ${fault.said}` };
  }
  if (OUT_OF_MEMORY.test(detail)) return { class: "capacity", code: "oom_denoise", detail };
  return { class: "engine_fatal", code: "render_failed", detail };
}
