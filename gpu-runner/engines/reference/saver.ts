/** When a render saves its state, and what it says then. One a render; saves never overlap. */
import { join } from "node:path";
import type { Sha256Hex } from "#protocol/id.ts";
import type { EngineEvent, EngineJob } from "../../engine.ts";
import { isStorageFull, reasonOf } from "../../storage-fault.ts";
import { saveCheckpoint } from "./checkpoint.ts";
import { assertFinite } from "./finite.ts";
import type { Sampler } from "./sampler.ts";

/** A checkpoint is due after this long, or after so many times what writing the last one cost, whichever is more. */
const CHECKPOINT_INTERVAL_MS = 2_000;
const CHECKPOINT_COST_MULTIPLE = 20;
/**
 * The final latents are saved before the decoding if at least this much work would be lost with them. Writing, uploading
 * and recording a checkpoint costs the runner, the store and Postgres a few tens of milliseconds: for less than this it
 * is cheaper to render again what the rare crash within a decode takes with it.
 */
export const FINAL_CHECKPOINT_MS = 250;

export class Saver {
  readonly #job: EngineJob;
  readonly #sampler: Sampler;
  readonly #compat: Sha256Hex;
  readonly #emit: (event: EngineEvent) => void;
  #savedStep: number;
  /** Also after a save that did not work: the disk is tried again at the next interval, not at every step. */
  #triedAt = performance.now();
  #costMs = 0;

  constructor(job: EngineJob, sampler: Sampler, compat: Sha256Hex, emit: (event: EngineEvent) => void) {
    this.#job = job;
    this.#sampler = sampler;
    this.#compat = compat;
    this.#emit = emit;
    this.#savedStep = sampler.state.step;
  }

  /** The newest step that is kept: what a resume starts from. */
  get savedStep(): number {
    return this.#savedStep;
  }

  isDue(): boolean {
    const intervalMs = Math.max(CHECKPOINT_INTERVAL_MS, this.#costMs * CHECKPOINT_COST_MULTIPLE);
    return performance.now() - this.#triedAt >= intervalMs;
  }

  isFinalWorthIt(): boolean {
    return this.#sampler.state.step !== this.#savedStep && performance.now() - this.#triedAt >= FINAL_CHECKPOINT_MS;
  }

  async save(): Promise<void> {
    const { state } = this.#sampler;
    const { step, latents } = state;
    if (step === this.#savedStep) return;
    assertFinite(latents, step);
    const { dir, lease, spec } = this.#job;
    const path = join(dir, `checkpoint-${step}.safetensors`);
    const from = performance.now();
    try {
      const { sha256, bytes } = await saveCheckpoint(path, lease, spec, this.#compat, state);
      this.#savedStep = step;
      this.#emit({ t: "checkpoint", step, path, sha256, bytes, exactness: "exact" });
    } catch (fault) {
      if (!isStorageFull(fault)) throw fault;
      // The rendering needs no disk to go on; the video may fit when it is done.
      this.#emit({ t: "unsaved", step, detail: reasonOf(fault) });
    } finally {
      this.#triedAt = performance.now();
      this.#costMs = this.#triedAt - from;
    }
  }
}
