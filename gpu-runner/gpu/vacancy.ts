/**
 * Whether a GPU holds no more than before anything of ours ran there. What a killed process held is given back by its driver a
 * moment after the process is gone; a driver that never does so is broken, and the next model would find no room.
 */
import { setTimeout as pause } from "node:timers/promises";
import { type GpuReading, readGpus } from "./nvidia-smi.ts";

const GIVEN_BACK_MS_MAX = 20_000;
const LOOK_AGAIN_MS = 500;
/** Contexts of others (a display, a monitor) come and go. */
const TOLERANCE_BYTES = 1024 ** 3;

export class Vacancy {
  readonly #bus: string;
  readonly #bytesBefore: number;
  readonly #withinMs: number;

  private constructor(bus: string, bytesBefore: number, withinMs: number) {
    this.#bus = bus;
    this.#bytesBefore = bytesBefore;
    this.#withinMs = withinMs;
  }

  /** To be called before the first engine starts. Null where it cannot be told: the GPU is cut into slices, or does not say what it holds. */
  static async before(bus: string, withinMs = GIVEN_BACK_MS_MAX): Promise<Vacancy | null> {
    const gpu = await readingOf(bus);
    return gpu === null || gpu.isCut || gpu.usedBytes === null ? null : new Vacancy(bus, gpu.usedBytes, withinMs);
  }

  /** Null once the GPU is as it was; else, after twenty seconds, what it still holds. Throws if the driver does not answer. */
  async heldStill(): Promise<string | null> {
    const endMs = performance.now() + this.#withinMs;
    for (;;) {
      const bytes = (await readingOf(this.#bus))?.usedBytes ?? null;
      if (bytes !== null && bytes <= this.#bytesBefore + TOLERANCE_BYTES) return null;
      if (performance.now() >= endMs) {
        return `the GPU at ${this.#bus} holds ${bytes} bytes with nothing of ours running, ${this.#bytesBefore} before`;
      }
      await pause(LOOK_AGAIN_MS);
    }
  }
}

async function readingOf(bus: string): Promise<GpuReading | null> {
  return (await readGpus())?.find((gpu) => gpu.bus === bus) ?? null;
}
