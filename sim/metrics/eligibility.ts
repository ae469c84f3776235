/**
 * Who waits for what and may run now, followed along the log: the ground for every fairness and idleness figure.
 *
 * An account is eligible while it has a waiting job and runs fewer than its cap.
 */
import { isAttemptEnd } from "../log-record.ts";
import type { LogConfig, LogRecord } from "../log-record.ts";

export interface Standing {
  readonly account: string;
  readonly tier: string;
  readonly cap: number;
  running: number;
  /** Waiting jobs by class. */
  readonly waiting: Map<string, number>;
  /** The tier and the classes that an eligible account waits for; null while it is not eligible. */
  group: string | null;
}

export class Eligibility {
  readonly #config: LogConfig;
  readonly #accounts = new Map<string, Standing>();
  /** Jobs that could be dispatched without any account passing its cap, by class. */
  readonly #dispatchable = new Map<string, number>();

  constructor(config: LogConfig) {
    this.#config = config;
  }

  get dispatchable(): ReadonlyMap<string, number> {
    return this.#dispatchable;
  }

  /** Applies a record; the account it concerns, if it changed anything. */
  apply(record: LogRecord): Standing | null {
    if (record.event === "submitted") return this.#change(record, { waiting: 1, running: 0 });
    if (record.event === "placed") return this.#change(record, { waiting: -1, running: 1 });
    if (!isAttemptEnd(record)) return null;
    const over = record.event === "finished" || record.event === "failed";
    return this.#change(record, { waiting: over ? 0 : 1, running: -1 });
  }

  #change(
    record: { readonly account: string; readonly tier: string; readonly class: string },
    by: { readonly waiting: number; readonly running: number },
  ): Standing {
    const standing = this.#standing(record.account, record.tier);
    this.#count(standing, -1);
    standing.running += by.running;
    const waiting = (standing.waiting.get(record.class) ?? 0) + by.waiting;
    if (waiting === 0) standing.waiting.delete(record.class);
    else standing.waiting.set(record.class, waiting);
    this.#count(standing, 1);
    const eligible = standing.waiting.size > 0 && standing.running < standing.cap;
    standing.group = eligible ? `${standing.tier} ${[...standing.waiting.keys()].toSorted().join(" ")}` : null;
    return standing;
  }

  #count({ cap, running, waiting }: Standing, sign: 1 | -1): void {
    const slack = Math.max(0, cap - running);
    for (const [jobClass, jobs] of waiting) {
      const count = (this.#dispatchable.get(jobClass) ?? 0) + sign * Math.min(jobs, slack);
      if (count === 0) this.#dispatchable.delete(jobClass);
      else this.#dispatchable.set(jobClass, count);
    }
  }

  #standing(account: string, tier: string): Standing {
    const known = this.#accounts.get(account);
    if (known !== undefined) return known;
    const cap = this.#config.caps[tier] ?? Infinity;
    const fresh: Standing = { account, tier, cap, running: 0, waiting: new Map(), group: null };
    this.#accounts.set(account, fresh);
    return fresh;
  }
}
