/**
 * Notices that a run hangs. A step may take three times the slowest one of this denoise; everything else (loading, encoding, the
 * first step, the decode) may be silent for as long as the model's entry says.
 */
const HANG_MULTIPLE = 3;

export class StepWatchdog {
  readonly #quietMs: number;
  readonly #hangMsMin: number;
  readonly #expired: (silentMs: number) => void;
  #slowestMs: number | null = null;
  #timer: NodeJS.Timeout | undefined;

  constructor(quietMs: number, hangMsMin: number, expired: (silentMs: number) => void) {
    this.#quietMs = quietMs;
    this.#hangMsMin = hangMsMin;
    this.#expired = expired;
    this.heard();
  }

  /** Something else begins. */
  stage(): void {
    this.#slowestMs = null;
    this.heard();
  }

  /** After the last step there is a checkpoint to write, and that is no step. */
  step(ms: number, isLast: boolean): void {
    this.#slowestMs = isLast ? null : Math.max(this.#slowestMs ?? 0, ms);
    this.heard();
  }

  heard(): void {
    clearTimeout(this.#timer);
    const ms = this.#slowestMs === null ? this.#quietMs : Math.max(this.#hangMsMin, HANG_MULTIPLE * this.#slowestMs);
    this.#timer = setTimeout(() => this.#expired(Math.round(ms)), ms);
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}
