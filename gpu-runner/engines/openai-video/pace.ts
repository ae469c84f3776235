/**
 * How far a video probably is, where the engine does not say: by how long videos took before. Pure.
 *
 * Promises: an estimate never falls while a video is made, never says that the last step is done, and says nothing at all
 * before the first video was made.
 */
import type { RunSpec } from "#protocol/runner.ts";

type Work = Pick<RunSpec, "width" | "height" | "frames" | "steps">;

const WEIGHT = 0.3;
/** Kinds of which the time is remembered; the longest unused is forgotten. */
const KINDS_MAX = 256;

export class Pace {
  /** Milliseconds of one video, by its kind. */
  readonly #tookMs = new Map<string, number>();
  /** Milliseconds of a step of one pixel of one frame, over all kinds. */
  #unitMs: number | null = null;

  learn(work: Work, ms: number): void {
    const kind = kindOf(work);
    const known = this.#tookMs.get(kind);
    this.#tookMs.delete(kind);
    this.#tookMs.set(kind, mixed(known, ms));
    const [oldest] = this.#tookMs.keys();
    if (this.#tookMs.size > KINDS_MAX && oldest !== undefined) this.#tookMs.delete(oldest);
    this.#unitMs = mixed(this.#unitMs ?? undefined, ms / unitsOf(work));
  }

  /** Of a kind that was made before; null: nobody knows. */
  knownMs(work: Work): number | null {
    return this.#tookMs.get(kindOf(work)) ?? null;
  }

  /** Steps that are probably done after so long. */
  doneSteps(work: Work, afterMs: number): number {
    const expectedMs = this.knownMs(work) ?? (this.#unitMs === null ? null : this.#unitMs * unitsOf(work));
    if (expectedMs === null) return 0;
    return Math.min(work.steps - 1, Math.floor((work.steps * afterMs) / expectedMs));
  }
}

function kindOf({ width, height, frames, steps }: Work): string {
  return `${width}x${height}x${frames}/${steps}`;
}

function unitsOf({ width, height, frames, steps }: Work): number {
  return width * height * frames * steps;
}

function mixed(known: number | undefined, ms: number): number {
  return known === undefined ? ms : known + WEIGHT * (ms - known);
}
