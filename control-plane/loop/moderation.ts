/** What the leader does for results that wait for a verdict: asks the hook when they are due. */
import type { ResultToJudge, Verdict } from "#control-plane/core/moderation.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { Moderator } from "#control-plane/usecase/moderate-results.ts";
import { Ticker } from "./ticker.ts";
import type { LoopHost, Service } from "./ticker.ts";

const POLL_MS = 500;

export interface ModerationHost extends LoopHost {
  /** Null: no verdict. Where there is no hook nobody gives one, so what an earlier hook left waiting is never shown. */
  readonly judgeResult: (result: ResultToJudge) => Promise<Verdict | null>;
  readonly urlOf: (storeKey: string) => string;
  readonly moved: () => void;
}

export class Moderation implements Service {
  readonly #ticker: Ticker;
  readonly #moderator: Moderator;

  constructor(sql: Sql, leaderEpoch: number, host: ModerationHost) {
    this.#moderator = new Moderator(sql, {
      leaderEpoch,
      urlOf: host.urlOf,
      judge: async (result) => {
        const verdict = await host.judgeResult(result);
        host.meter.count("moderations_total", verdict === null ? "none" : verdict.allowed ? "allowed" : "withheld");
        return verdict;
      },
      moved: () => {
        host.moved();
        this.wake();
      },
      unrecorded: (job, error) =>
        host.log.warn({ job, err: error }, "a verdict was not recorded; the hook will be asked again"),
    });
    this.#ticker = new Ticker("moderation", POLL_MS, host, () => this.#moderator.turn());
  }

  start(): void {
    this.#ticker.start();
  }

  wake(): void {
    this.#ticker.wake();
  }

  /** Verdicts under way are not waited for: without its epoch this leader could not record them. */
  async stop(): Promise<void> {
    await this.#ticker.stop();
  }
}
