/** The jobs of one account and class, oldest first. A job that comes back keeps its place by `seq`. */
import type { QueuedJob } from "./event.ts";

export class JobLine {
  /** Ascending `seq`; those before `#from` are gone. */
  #jobs: QueuedJob[] = [];
  #from = 0;

  get size(): number {
    return this.#jobs.length - this.#from;
  }

  head(): QueuedJob | null {
    return this.#jobs[this.#from] ?? null;
  }

  add(job: QueuedJob): void {
    const last = this.#jobs.at(-1);
    if (last === undefined || this.size === 0 || last.seq < job.seq) {
      this.#jobs.push(job);
      return;
    }
    this.#jobs.splice(this.#indexOf(job.seq), 0, job);
  }

  /** False if it is not here. */
  remove(job: QueuedJob): boolean {
    const at = this.#indexOf(job.seq);
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

  /** The first index at or after `#from` whose seq is not smaller. */
  #indexOf(seq: number): number {
    let low = this.#from;
    let high = this.#jobs.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#jobs[middle]?.seq ?? Infinity) < seq) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
