/**
 * Results that are withheld until the operator's hook has judged them: asked one by one by the leader, again and again until
 * there is a verdict or too many tries were in vain. Nothing is lost by a crash: what is due stands in Postgres.
 */
import type { ResultToJudge, Verdict } from "#control-plane/core/moderation.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { resultsToModerate } from "#control-plane/db/jobs.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import type { VideoId } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";
import { moveJob } from "./move-job.ts";

export const ASKED_AT_ONCE_MAX = 16;

export interface ModeratorHost {
  readonly leaderEpoch: number;
  /** Null: no verdict that can be read. It must end by itself. */
  readonly judge: (result: ResultToJudge) => Promise<Verdict | null>;
  /** A lease-bound URL of what is stored under this key. */
  readonly urlOf: (storeKey: string) => string;
  /** A video was shown, withheld for good, or is to be asked about again. */
  readonly moved: () => void;
  readonly unrecorded: (job: VideoId, error: unknown) => void;
}

export class Moderator {
  readonly #sql: Sql;
  readonly #host: ModeratorHost;
  readonly #asking = new Map<VideoId, Promise<void>>();

  constructor(sql: Sql, host: ModeratorHost) {
    this.#sql = sql;
    this.#host = host;
  }

  /** Sets off what is due and there is room for; waits for no verdict. */
  async turn(): Promise<void> {
    // Those that are being asked about are still due, so they are among the first.
    for (const job of await resultsToModerate(this.#sql, ASKED_AT_ONCE_MAX)) {
      if (this.#asking.has(job.id) || this.#asking.size >= ASKED_AT_ONCE_MAX) continue;
      const asked = this.#ask(job).finally(() => this.#asking.delete(job.id));
      this.#asking.set(job.id, asked);
    }
  }

  /** Resolves when no verdict is waited for. */
  async settled(): Promise<void> {
    await Promise.all(this.#asking.values());
  }

  async #ask(job: JobRow): Promise<void> {
    const { leaderEpoch, judge, moved, unrecorded } = this.#host;
    try {
      const verdict = await judge(this.#resultOf(job));
      const event = verdict === null ? ({ kind: "unjudged" } as const) : ({ kind: "judged", verdict } as const);
      // Another leader's verdict, a cancel or a deadline may have been first: then this one changes nothing.
      await moveJob(this.#sql, job.id, event, { leaderEpoch });
      moved();
    } catch (error) {
      unrecorded(job.id, error);
    }
  }

  #resultOf(job: JobRow): ResultToJudge {
    const { id: video, accountId: account, prompt, artifactKey, artifactSha256, artifactBytes } = job;
    invariant(artifactKey !== null && artifactSha256 !== null, "a withheld job has its result");
    const url = this.#host.urlOf(artifactKey);
    return { video, account, prompt, sha256: artifactSha256, bytes: Number(artifactBytes), url };
  }
}
