/**
 * What an account can spend at any second: grants that expire, uses, holds that pin credits, jobs that burn them.
 *
 * Calls may arrive in any order of their `at`; they count in order of `at`, grants first within a second. An answer stands:
 * what was accepted stays accepted, and what was refused leaves no trace. A call that can never be right (an amount that is
 * not positive, an id that is taken, a job's past) throws a RangeError and changes nothing. Queries change nothing.
 * docs/credits.md has an example, the policies as a table and the rules for late calls.
 */
import type { Call } from "./credit/call.ts";
import type { GrantStatement } from "./credit/books.ts";
import { deadFrom, MAKE_GOOD_PREFIX } from "./credit/grant.ts";
import type { Grant, GrantCategory } from "./credit/grant.ts";
import { JobBook } from "./credit/job-book.ts";
import { creditPolicy } from "./credit/policy.ts";
import type { CreditPolicy } from "./credit/policy.ts";
import { LAST_SECOND, Timeline } from "./credit/timeline.ts";

const PRIORITY_DEFAULT = 50;

/** False: the credits do not cover it, or it would uncover what was accepted before; it was not recorded. */
export interface Answer {
  readonly accepted: boolean;
}

/** Where every credit is at one second. */
export interface Statement {
  readonly grants: readonly GrantStatement[];
  readonly holds: readonly { readonly job: string; readonly amount: bigint }[];
  readonly debt: bigint;
}

export class GpuCreditCalculator {
  readonly #policy: CreditPolicy;
  readonly #timeline: Timeline;
  readonly #grants = new Map<string, Grant>();
  readonly #voided = new Set<string>();
  readonly #jobs = new JobBook();

  constructor(policy: Partial<CreditPolicy> = {}) {
    this.#policy = creditPolicy(policy);
    check(Number.isSafeInteger(this.#policy.makeGoodSeconds) && this.#policy.makeGoodSeconds >= 0, "makeGoodSeconds");
    this.#timeline = new Timeline(this.#policy);
  }

  /** `expiresAt` may equal `at`, and null never ends. The least priority is spent first. */
  grant(wanted: {
    readonly id: string;
    readonly amount: bigint;
    readonly at: number;
    readonly expiresAt: number | null;
    readonly priority?: number;
    readonly category?: GrantCategory;
  }): Answer {
    const { id, amount, at, expiresAt, priority = PRIORITY_DEFAULT, category = "paid" } = wanted;
    checkCall(at, amount);
    check(
      expiresAt === null || (isSecond(expiresAt) && expiresAt >= at),
      "expiresAt is a second, not before at, or null",
    );
    check(Number.isSafeInteger(priority), "priority is an integer");
    check(id !== "" && !id.startsWith(MAKE_GOOD_PREFIX), `id is not empty and does not begin with ${MAKE_GOOD_PREFIX}`);
    check(!this.#grants.has(id), `there is a grant ${id} already`);
    const grant = { id, amount, at, deadFrom: deadFrom(expiresAt, this.#policy.end), priority, category };
    return this.#record({ t: "grant", at, grant }, () => this.#grants.set(id, grant));
  }

  /** Ends a grant early. What holds have pinned stays theirs, and is voided when they release it. */
  voidGrant({ grant: id, at }: { readonly grant: string; readonly at: number }): Answer {
    checkCall(at);
    const grant = this.#grants.get(id);
    if (grant === undefined) throw new RangeError(`There is no grant ${id}.`);
    check(!this.#voided.has(id), `grant ${id} is voided already`);
    check(at >= grant.at && at < grant.deadFrom, "a grant is voided between its start and its end");
    return this.#record({ t: "void", at, grant }, () => this.#voided.add(id));
  }

  /** Spends at once; what happens to more than there is, `overdraw` says. */
  use({ at, amount }: { readonly at: number; readonly amount: bigint }): Answer {
    checkCall(at, amount);
    return this.#record({ t: "use", at, amount });
  }

  /** Pins credits for a job, all or nothing under every policy. One hold a job. */
  hold({ job, at, amount }: { readonly job: string; readonly at: number; readonly amount: bigint }): Answer {
    checkCall(at, amount);
    this.#jobs.checkHold(job);
    return this.#record({ t: "hold", at, job, amount }, () => this.#jobs.held(job, at, amount));
  }

  /** Spends pinned credits, expired or not. A job may capture several times, never more than its hold in all. */
  capture({ job, at, amount }: { readonly job: string; readonly at: number; readonly amount: bigint }): Answer {
    checkCall(at, amount);
    this.#jobs.checkCapture(job, at, amount);
    return this.#record({ t: "capture", at, job, amount }, () => this.#jobs.captured(job, at, amount));
  }

  /**
   * Ends a hold. What it still pins is free again; of a grant that has expired meanwhile it is forfeited, unless the
   * platform was at fault: then a new grant `make_good:<job>` makes up for it.
   */
  release(wanted: { readonly job: string; readonly at: number; readonly fault?: "user" | "platform" }): Answer {
    const { job, at, fault = "user" } = wanted;
    checkCall(at);
    this.#jobs.checkRelease(job, at);
    return this.#record({ t: "release", at, job, fault }, () => this.#jobs.released(job, at));
  }

  /** From `at` on, every second is a use of `ratePerSecond`; holds, the job's own too, are not touched. */
  startJob(wanted: { readonly job: string; readonly at: number; readonly ratePerSecond: bigint }): Answer {
    const { job, at, ratePerSecond } = wanted;
    checkCall(at, ratePerSecond);
    this.#jobs.checkStart(job, at);
    return this.#record({ t: "start", at, job, ratePerSecond }, () => this.#jobs.started(job, at));
  }

  /** The second `at` is not burned any more. */
  stopJob({ job, at }: { readonly job: string; readonly at: number }): Answer {
    checkCall(at);
    this.#jobs.checkStop(job, at);
    return this.#record({ t: "stop", at, job }, () => this.#jobs.stopped(job, at));
  }

  /** What could be spent at `at`, after its calls; null if more was spent than there was. */
  balance(at: number): bigint | null {
    checkCall(at);
    const { spendable } = this.#timeline.at(at);
    return spendable === 0n && this.#policy.empty === "null" ? null : spendable;
  }

  /** The first second, not before `from`, that the running jobs cannot pay in full, as far as is recorded now. */
  exhaustedAt(from: number): number | null {
    checkCall(from);
    return this.#timeline.dryFrom(from);
  }

  /** Every started grant and open hold at `at`; replays the whole history. */
  statement(at: number): Statement {
    checkCall(at);
    const { books, purse } = this.#timeline.books(at);
    return { grants: books.grants(), holds: purse.holds, debt: purse.debt };
  }

  #record(call: Call, then: () => void = () => undefined): Answer {
    const accepted = this.#timeline.record(call);
    if (accepted) then();
    return { accepted };
  }
}

function checkCall(at: number, amount: bigint = 1n): void {
  check(isSecond(at), "at is a whole second that a date can name");
  check(typeof amount === "bigint" && amount > 0n, "an amount is a positive bigint");
}

function isSecond(second: number): boolean {
  return Number.isInteger(second) && Math.abs(second) <= LAST_SECOND;
}

function check(isRight: boolean, rule: string): void {
  if (!isRight) throw new RangeError(`Broken rule: ${rule}.`);
}
