/** The jobs of one account and class, oldest first. A job that comes back keeps its place. */
import type { QueuedJob } from "./event.ts";

export class JobLine {
  /** In order of arrival; those before `#from` are gone. */
  #jobs: QueuedJob[] = [];
  #from = 0;

  get size(): number {
    return this.#jobs.length - this.#from;
  }

  head(): QueuedJob | null {
    return this.#jobs[this.#from] ?? null;
  }

  /** The n-th of those that are left. */
  at(n: number): QueuedJob | null {
    return this.#jobs[this.#from + n] ?? null;
  }

  add(job: QueuedJob): void {
    const last = this.#jobs.at(-1);
    if (last === undefined || this.size === 0 || before(last, job)) {
      this.#jobs.push(job);
      return;
    }
    this.#jobs.splice(this.#indexOf(job), 0, job);
  }

  /** False if it is not here. */
  remove(job: QueuedJob): boolean {
    const at = this.#indexOf(job);
    if (this.#jobs[at]?.id !== job.id) return false;
    if (at === this.#from) this.#dropHead();
    else this.#jobs.splice(at, 1);
    return true;
  }

  *[Symbol.iterator](): Iterator<QueuedJob> {
    for (let at = this.#from; at < this.#jobs.length; at++) {
      const job = this.#jobs[at];
      if (job !== undefined) yield job;
    }
  }

  #dropHead(): void {
    this.#from++;
    // The array is cut only now and then, so that taking the head costs nothing on average.
    if (this.#from * 2 > this.#jobs.length) {
      this.#jobs = this.#jobs.slice(this.#from);
      this.#from = 0;
    }
  }

  /** The first index at or after `#from` that does not come before `job`. */
  #indexOf(job: QueuedJob): number {
    let low = this.#from;
    let high = this.#jobs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      const other = this.#jobs[middle];
      if (other !== undefined && before(other, job)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** By arrival, then by id. */
export function before(a: QueuedJob, b: QueuedJob): boolean {
  return a.seq < b.seq || (a.seq === b.seq && a.id < b.id);
}
