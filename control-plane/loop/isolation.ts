/**
 * Jobs that were aboard when a runner died with others: which of them killed it nobody knows, so each runs alone once more, and
 * only a lone death counts against it. One at a time: a runner gets no new work until it is empty, then takes the suspect
 * with all of its devices.
 *
 * suspect → chosen (its runner empties) → running alone → over. Where no runner shares devices every job is alone anyway.
 */
import type { RunnerTerms } from "#control-plane/core/scheduler/event.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import type { VideoId } from "#protocol/id.ts";
import type { RunnerRoster } from "./runner-roster.ts";

export interface Alone {
  readonly job: JobRow;
  readonly runner: RunnerTerms;
}

export class Isolation {
  readonly #roster: RunnerRoster;
  /** In order of arrival. */
  readonly #suspects = new Map<VideoId, JobRow>();
  #chosen: { readonly job: VideoId; readonly runner: string } | null = null;

  constructor(roster: RunnerRoster) {
    this.#roster = roster;
  }

  /** False if the job may wait in the fair queue like any other. */
  takes(job: JobRow): boolean {
    if (!job.runAlone || !this.#roster.shares()) return false;
    this.#suspects.set(job.id, job);
    return true;
  }

  /** Met at takeover, running alone already. */
  found(job: JobRow): void {
    if (!job.runAlone || job.runnerId === null || this.#chosen !== null) return;
    this.#choose({ job: job.id, runner: job.runnerId });
  }

  /** Who is to be started now, if anybody: its runner is empty and kept for it. */
  next(jobsOn: (runner: string) => number, nowMs: number): Alone | null {
    if (this.#chosen !== null && this.#roster.connected(this.#chosen.runner) === null) this.#choose(null);
    if (this.#chosen === null) {
      const job = this.#suspects.values().find(({ notBefore }) => (notBefore?.getTime() ?? 0) <= nowMs);
      const runner = job === undefined ? null : this.#emptiest(job, jobsOn);
      if (job === undefined || runner === null) return null;
      this.#choose({ job: job.id, runner: runner.id });
    }
    const job = this.#chosen === null ? undefined : this.#suspects.get(this.#chosen.job);
    const runner = this.#chosen === null ? null : this.#roster.connected(this.#chosen.runner);
    return job === undefined || runner === null || jobsOn(runner.id) > 0 ? null : { job, runner };
  }

  started(id: VideoId): void {
    this.#suspects.delete(id);
  }

  /** The job moved on: it ended, or waits again. True if it had waited here. */
  over(id: VideoId): boolean {
    if (this.#chosen?.job === id) this.#choose(null);
    return this.#suspects.delete(id);
  }

  /** Of the runners like the one that died: another one before that one, the one with the least work first. */
  #emptiest(job: JobRow, jobsOn: (runner: string) => number): RunnerTerms | null {
    const likely = this.#roster.alike(job.avoidRunnerId);
    const rank = (runner: RunnerTerms) => [jobsOn(runner.id), Number(runner.id === job.avoidRunnerId)] as const;
    const ranked = likely.toSorted((a, b) => {
      const [[workA, avoidA], [workB, avoidB]] = [rank(a), rank(b)];
      return avoidA - avoidB || workA - workB || (a.id < b.id ? -1 : 1);
    });
    return ranked[0] ?? null;
  }

  #choose(chosen: { readonly job: VideoId; readonly runner: string } | null): void {
    this.#chosen = chosen;
    this.#roster.keepFor(chosen?.runner ?? null);
  }
}
