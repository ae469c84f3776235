/**
 * The server of one device: found or started, and only given work once it has shown that it works and that nothing else runs on it.
 *
 * An open port says neither: one bad request can close the engine behind it, and what was cancelled may render on. So a server
 * whose state is in doubt makes its smallest video first (the *probe*). One that is ours and does not manage that is killed and
 * started again; one that is not is given up, as the device's fault.
 */
import { setTimeout as pause } from "node:timers/promises";
import type { ServerEntry } from "./server-file.ts";
import { ServerProcess } from "./server-process.ts";
import { ServerLost, VideoServer } from "./video-server.ts";

const LOOK_MS = 250;
const STARTS_MAX = 2;

/** It cannot be made to work. */
export class Unfit extends Error {
  override readonly name = "Unfit";
}

interface Taken {
  readonly entry: ServerEntry;
  readonly process: ServerProcess | null;
  readonly server: VideoServer;
}

export class Seat {
  readonly #index: number;
  readonly #gpu: string | null;
  #taken: Taken | null = null;
  #trusted = false;
  /** Processes that have shown once that they work. */
  readonly #proven = new WeakSet<ServerProcess>();
  /** Of what was dropped: until it is known to be over, nothing new begins. */
  #freeing: Promise<void> = Promise.resolve();

  /** `index` counts the devices of the runner, `gpu` is the UUID of this one. */
  constructor(index: number, gpu: string | null) {
    this.#index = index;
    this.#gpu = gpu;
  }

  /** Of the server's process group; null if it is not ours. */
  get pid(): number | null {
    return this.#taken?.process?.pid ?? null;
  }

  /** True if the server's process has ended by itself. */
  get ended(): boolean {
    return this.#taken?.process?.ended === true;
  }

  /** A server of this model that works and is idle. Throws `Unfit`. */
  async serverFor(entry: ServerEntry, signal: AbortSignal): Promise<VideoServer> {
    await this.#freeing;
    for (let starts = 0; starts < STARTS_MAX; starts++) {
      signal.throwIfAborted();
      const taken = await this.#take(entry);
      if (this.#trusted || (await this.#proves(taken, signal))) return taken.server;
      signal.throwIfAborted();
      if (taken.process === null)
        throw new Unfit(`the video server at ${this.#urlOf(entry)} does not work, or is not idle`);
      await this.leave();
    }
    throw new Unfit(`the video server of '${entry.name}' does not work, started twice`);
  }

  /** Something went wrong there. */
  suspect(): void {
    this.#trusted = false;
  }

  /** Nobody wants the video any more. Resolves when its device is free again: it stopped, or its process was killed. */
  free(id: string): Promise<void> {
    this.#trusted = false;
    this.#freeing = this.#free(id);
    return this.#freeing;
  }

  /** Ends a server that is ours. */
  async leave(): Promise<void> {
    const taken = this.#taken;
    this.#taken = null;
    this.#trusted = false;
    taken?.process?.kill();
    await taken?.process?.gone;
  }

  async #free(id: string): Promise<void> {
    const taken = this.#taken;
    if (taken === null) return;
    await taken.server.drop(id, AbortSignal.timeout(taken.entry.cancel_s * 1_000)).catch(() => undefined);
    if (await this.#proves(taken, null)) return;
    if (taken.process !== null) await this.leave();
  }

  async #take(entry: ServerEntry): Promise<Taken> {
    const taken = this.#taken;
    if (taken !== null && taken.entry === entry && taken.process?.ended !== true) return taken;
    await this.leave();
    const process = entry.command === undefined ? null : await ServerProcess.start(entry.command, this.#gpu);
    const server = new VideoServer({
      api: entry.api,
      url: process?.url ?? this.#urlOf(entry),
      apiKey: entry.api_key ?? null,
      model: entry.model ?? null,
      extra: entry.arguments,
    });
    this.#taken = { entry, process, server };
    return this.#taken;
  }

  #urlOf({ name, urls }: ServerEntry): string {
    const url = urls?.[this.#index];
    if (url === undefined) throw new Unfit(`model '${name}' names no server for device ${this.#index}`);
    return url;
  }

  /** True once it has made its smallest video. `signal`: nobody waits for it any more. */
  async #proves({ entry, process, server }: Taken, signal: AbortSignal | null): Promise<boolean> {
    // One that is new may still be loading its weights.
    const withinS = process === null || this.#proven.has(process) ? entry.cancel_s : entry.start_s;
    const patience = AbortSignal.timeout(withinS * 1_000);
    const until = signal === null ? patience : AbortSignal.any([patience, signal]);
    const { width, height, frames, steps } = entry.probe;
    const order = {
      prompt: "a probe",
      negativePrompt: "",
      width,
      height,
      fps: 8,
      frames,
      steps,
      seed: 1,
      referencePath: null,
    };
    let id: string | null = null;
    try {
      while (id === null) {
        if (process?.ended === true) return false;
        id = await server.create(order, until).then(
          (job) => job.id,
          (fault: unknown) => {
            // It is not up yet, or it is and refuses.
            if (fault instanceof ServerLost && process !== null) return null;
            throw fault;
          },
        );
        if (id === null) await pause(LOOK_MS, undefined, { signal: until });
      }
      for (;;) {
        if (process?.ended === true) return false;
        const job = await server.read(id, until);
        if (job === null || job.status === "failed") return false;
        if (job.status === "completed") break;
        await pause(LOOK_MS, undefined, { signal: until });
      }
      this.#trusted = true;
      if (process !== null) this.#proven.add(process);
      return true;
    } catch {
      return false;
    } finally {
      if (id !== null) await server.drop(id, AbortSignal.timeout(LOOK_MS * 10)).catch(() => undefined);
    }
  }
}
