/**
 * Keeps the scheduler's terms as the database has them: tiers, classes with their costs, thresholds, accounts, drains, and
 * which runners are trusted.
 *
 * Only what changed is told. A class whose charge changed is told between taking its waiting jobs out of the queue and
 * putting them back: the queue counts what waits by its charge.
 */
import type { SeededCostModel } from "#control-plane/core/scheduler/cost-model.ts";
import type { QueuedJob, SchedulerEvent } from "#control-plane/core/scheduler/event.ts";
import { limitsWith } from "#control-plane/core/scheduler/limit-overrides.ts";
import type { SchedulerLimits } from "#control-plane/core/scheduler/limits.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import { meetAccounts } from "#control-plane/usecase/lead.ts";
import { classIdOf, readTerms } from "#control-plane/usecase/read-terms.ts";
import type { DeclaredClass } from "#control-plane/usecase/read-terms.ts";
import type { AccountId, RunnerId, Sha256Hex } from "#protocol/id.ts";
import type { RunnerRoster } from "./runner-roster.ts";

/** Terms are read when the operator's hint says so, and at least this often. */
const TERMS_REFRESH_MS = 5_000;
/** All accounts ever met are many: without a hint their tiers are looked at this often. */
const ACCOUNTS_REFRESH_MS = 30_000;

export interface TermsHost {
  readonly sql: Sql;
  readonly costs: SeededCostModel;
  readonly roster: RunnerRoster;
  /** The environment's, where the operator set no other. */
  readonly limits: SchedulerLimits;
  readonly tell: (event: SchedulerEvent) => void;
  readonly waiting: () => Iterable<QueuedJob>;
  /** Runners with another secret, or none, are cut off. */
  readonly trust: (secrets: ReadonlyMap<RunnerId, Sha256Hex>) => void;
}

export class TermsKeeper {
  readonly #host: TermsHost;
  readonly #accounts = new Set<AccountId>();
  readonly #classes = new Set<string>();
  readonly #tiers = new Set<string>();
  /** What was told last, as text, by what it is about. */
  readonly #told = new Map<string, string>();
  #termsDueMs = 0;
  #accountsDueMs = 0;

  constructor(host: TermsHost) {
    this.#host = host;
  }

  /** The operator changed something. */
  expire(): void {
    this.#termsDueMs = 0;
    this.#accountsDueMs = 0;
  }

  /** Reads what is due; `nowMs` only grows. */
  async refresh(nowMs: number): Promise<void> {
    if (nowMs >= this.#termsDueMs) {
      await this.#readTerms();
      this.#termsDueMs = nowMs + TERMS_REFRESH_MS;
    }
    if (nowMs >= this.#accountsDueMs) {
      await this.#readAccounts([...this.#accounts]);
      this.#accountsDueMs = nowMs + ACCOUNTS_REFRESH_MS;
    }
  }

  /** Makes known what these jobs need: their accounts, and classes that appeared without a hint. */
  async meet(jobs: readonly JobRow[]): Promise<void> {
    if (jobs.some((job) => !this.#classes.has(classIdOf(job.model, job.class)))) await this.#readTerms();
    const strangers = new Set(jobs.map((job) => job.accountId).filter((id) => !this.#accounts.has(id)));
    await this.#readAccounts([...strangers]);
  }

  async #readTerms(): Promise<void> {
    const { costs, roster, limits: defaults, sql, tell, trust } = this.#host;
    const { tiers, classes, limits, resting, trusted } = await readTerms(sql);
    const present = limitsWith(defaults, limits);
    if (this.#isNew("limits", present)) tell({ t: "limits", limits: present });
    for (const terms of tiers) if (this.#isNew(`tier ${terms.tier}`, terms)) tell({ t: "tier", terms });
    for (const { tier } of tiers) this.#tiers.add(tier);
    for (const declared of classes) this.#declare(declared, costs);
    roster.rest(resting);
    trust(trusted);
  }

  #declare({ class: jobClass, cost }: DeclaredClass, costs: SeededCostModel): void {
    const { id } = jobClass;
    const recharged = this.#isNew(`charge ${id}`, cost.charge);
    if (!this.#isNew(`class ${id}`, { jobClass, ...cost, gangs: [...cost.gangs] })) return;
    const { tell, waiting } = this.#host;
    const affected = recharged && this.#classes.has(id) ? [...waiting()].filter((job) => job.class === id) : [];
    for (const job of affected) tell({ t: "withdrawn", job: job.id });
    costs.declare(jobClass, cost);
    tell({ t: "class", class: jobClass });
    for (const job of affected) tell({ t: "queued", job });
    this.#classes.add(id);
  }

  async #readAccounts(accounts: readonly AccountId[]): Promise<void> {
    const met = await meetAccounts(this.#host.sql, accounts);
    // A tier that appeared without a hint.
    if (met.some(({ tier }) => !this.#tiers.has(tier))) await this.#readTerms();
    for (const account of met) {
      this.#accounts.add(account.account);
      this.#host.tell({ t: "account", ...account });
    }
  }

  #isNew(subject: string, value: object): boolean {
    const text = JSON.stringify(value);
    if (this.#told.get(subject) === text) return false;
    this.#told.set(subject, text);
    return true;
  }
}
