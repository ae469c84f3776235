/**
 * What each job has said so far, so that what it can never say again is caught before it is recorded: a call earlier than
 * its last one, a second hold, a capture beyond the hold, a stop without a start.
 */

interface Job {
  /** The latest second of all its calls. */
  readonly lastAt: number;
  /** What its hold still pins; null before the hold. */
  readonly held: bigint | null;
  readonly isRunning: boolean;
}

const UNHEARD: Job = { lastAt: -Infinity, held: null, isRunning: false };

export class JobBook {
  readonly #jobs = new Map<string, Job>();

  checkHold(job: string): void {
    if (job === "") throw new RangeError("A job has a name.");
    if (this.#of(job).held !== null) throw new RangeError(`Job ${job} had its hold already.`);
  }

  checkCapture(job: string, at: number, amount: bigint): void {
    const left = this.#openHold(job, at);
    if (amount > left) throw new RangeError(`Job ${job} holds ${left}, less than ${amount}.`);
  }

  checkRelease(job: string, at: number): void {
    this.#openHold(job, at);
  }

  checkStart(job: string, at: number): void {
    if (job === "") throw new RangeError("A job has a name.");
    this.#checkNotPast(job, at);
    if (this.#of(job).isRunning) throw new RangeError(`Job ${job} runs already.`);
  }

  checkStop(job: string, at: number): void {
    this.#checkNotPast(job, at);
    if (!this.#of(job).isRunning) throw new RangeError(`Job ${job} does not run.`);
  }

  held(job: string, at: number, amount: bigint): void {
    this.#heard(job, at, { held: amount });
  }

  captured(job: string, at: number, amount: bigint): void {
    this.#heard(job, at, { held: (this.#of(job).held ?? 0n) - amount });
  }

  released(job: string, at: number): void {
    this.#heard(job, at, { held: 0n });
  }

  started(job: string, at: number): void {
    this.#heard(job, at, { isRunning: true });
  }

  stopped(job: string, at: number): void {
    this.#heard(job, at, { isRunning: false });
  }

  #openHold(job: string, at: number): bigint {
    this.#checkNotPast(job, at);
    const { held } = this.#of(job);
    if (held === null || held === 0n) throw new RangeError(`Job ${job} has no open hold.`);
    return held;
  }

  #checkNotPast(job: string, at: number): void {
    const { lastAt } = this.#of(job);
    if (at < lastAt) throw new RangeError(`Job ${job} was last heard of at ${lastAt}, after ${at}.`);
  }

  #heard(job: string, at: number, news: Partial<Job>): void {
    const before = this.#of(job);
    this.#jobs.set(job, { ...before, ...news, lastAt: Math.max(before.lastAt, at) });
  }

  #of(job: string): Job {
    return this.#jobs.get(job) ?? UNHEARD;
  }
}
