/** Short scripts of one account's life, as data that fast-check can shrink: played on the real ledger, then replayed. */
import fc from "fast-check";
import { balanceOf } from "#control-plane/db/ledger-read.ts";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import { cancelVideo } from "#control-plane/usecase/change-video.ts";
import { adjust, grantCredits, voidGrant } from "#control-plane/usecase/credits.ts";
import { moveJob } from "#control-plane/usecase/move-job.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { milliCredits } from "#protocol/unit.ts";
import { replayJournal } from "./journal-replay.ts";
import { anArtifact, TINY } from "./studio.ts";
import type { Studio } from "./studio.ts";
import { BY_TEST } from "./by-test.ts";

/** What a step of this many costs: `TINY` is priced 25 milli-credits a step. */
const PRICE_OF_STEP = 25n;
/** How long a grant lives that is to end soon. */
const SHORT_MS = 25;
const STEPS_MAX = 14;
const ENDS = ["finish", "fail", "cancel", "cancel_running"] as const;

export type Line =
  | {
      readonly t: "grant";
      readonly amount: number;
      readonly ends: "never" | "soon" | "later";
      readonly priority: number;
      readonly category: "promotional" | "plan" | "paid";
    }
  | { readonly t: "submit"; readonly steps: number }
  /** The nth open job; `step`: where it is if it is cancelled while it runs. */
  | { readonly t: "finish" | "fail" | "cancel" | "cancel_running"; readonly nth: number; readonly step: number }
  | { readonly t: "void" | "let_end"; readonly nth: number }
  | { readonly t: "adjust"; readonly amount: number };

export function ledgerScripts(): fc.Arbitrary<readonly Line[]> {
  const nth = fc.nat(5);
  const grant = fc.record({
    t: fc.constant("grant" as const),
    amount: fc.integer({ min: 1, max: 900 }),
    ends: fc.constantFrom("never" as const, "soon" as const, "later" as const),
    priority: fc.constantFrom(10, 50),
    category: fc.constantFrom("promotional" as const, "plan" as const, "paid" as const),
  });
  const submit = fc.record({ t: fc.constant("submit" as const), steps: fc.integer({ min: 1, max: 20 }) });
  const line = fc.oneof(
    { weight: 4, arbitrary: grant },
    { weight: 5, arbitrary: submit },
    { weight: 5, arbitrary: fc.record({ t: fc.constantFrom(...ENDS), nth, step: fc.nat(10) }) },
    { weight: 3, arbitrary: fc.record({ t: fc.constantFrom("void" as const, "let_end" as const), nth }) },
    {
      weight: 1,
      arbitrary: fc.record({ t: fc.constant("adjust" as const), amount: fc.integer({ min: -300, max: 300 }) }),
    },
  );
  return fc
    .tuple(grant, submit, fc.array(line, { maxLength: STEPS_MAX }))
    .map(([first, second, rest]) => [first, second, ...rest]);
}

/** Throws where the ledger was wrong: a refusal that the balance does not explain, or a replay that differs. */
export async function perform(studio: Studio, script: readonly Line[]): Promise<void> {
  const account = await studio.account("pro");
  const actor = new Actor(studio, account);
  for (const line of script) await actor.play(line);
  const { differences } = await replayJournal(studio.sql, account);
  if (differences.length > 0) throw new Error(differences.join("\n"));
}

class Actor {
  readonly #studio: Studio;
  readonly #account: AccountId;
  readonly #jobs: VideoId[] = [];
  readonly #grants: string[] = [];
  readonly #ending: string[] = [];

  constructor(studio: Studio, account: AccountId) {
    this.#studio = studio;
    this.#account = account;
  }

  async play(line: Line): Promise<void> {
    const { sql } = this.#studio;
    switch (line.t) {
      case "grant":
        return this.#grant(line);
      case "submit":
        return this.#submit(line.steps);
      case "adjust":
        return this.#adjust(milliCredits(BigInt(line.amount)));
      case "void": {
        const grant = at(this.#grants, line.nth);
        if (grant !== undefined) await voidGrant(sql, BY_TEST, grant, "script", null);
        return;
      }
      case "let_end": {
        const grant = at(this.#ending, line.nth);
        if (grant !== undefined) await this.#studio.ended(grant);
        return;
      }
      default: {
        const [job] = this.#jobs.splice(line.nth % Math.max(1, this.#jobs.length), 1);
        if (job !== undefined) await this.#end(line, job);
      }
    }
  }

  async #grant({ amount, ends, priority, category }: Extract<Line, { t: "grant" }>): Promise<void> {
    const lifeMs = { never: null, soon: SHORT_MS, later: 60_000 }[ends];
    const expiresAt = lifeMs === null ? null : new Date(Date.now() + lifeMs);
    const terms = { amount: milliCredits(BigInt(amount)), priority, category, effectiveAt: null, expiresAt };
    const granted = await grantCredits(this.#studio.sql, BY_TEST, { account: this.#account, ...terms }, null);
    const grant = granted.ok ? granted.value.entries[0]?.grantId : undefined;
    if (grant === undefined) return;
    this.#grants.push(grant);
    if (ends === "soon") this.#ending.push(grant);
  }

  async #submit(steps: number): Promise<void> {
    const outcome = await this.#studio.submit(this.#account, { ...TINY, steps });
    if (outcome.ok) return void this.#jobs.push(outcome.job.id);
    await this.#checkPoverty(BigInt(steps) * PRICE_OF_STEP);
  }

  async #adjust(amount: ReturnType<typeof milliCredits>): Promise<void> {
    const outcome = await adjust(this.#studio.sql, BY_TEST, this.#account, amount, "script", null);
    if (!outcome.ok && amount < 0n) await this.#checkPoverty(0n - amount);
  }

  /** Credits only become fewer by waiting, so what is there after a refusal was there before it. */
  async #checkPoverty(wanted: bigint): Promise<void> {
    const { available } = await balanceOf(this.#studio.sql, this.#account);
    if (available >= wanted) throw new Error(`${wanted} were refused with ${available} there`);
  }

  async #end(line: Extract<Line, { step: number }>, job: VideoId): Promise<void> {
    const { sql } = this.#studio;
    if (line.t === "fail") return void (await moveJob(sql, job, { kind: "deadline_passed", which: "total" }));
    if (line.t === "cancel") return void (await cancelVideo(sql, this.#account, job));
    const { epoch } = (await this.#studio.dispatched(job)).job;
    if (line.t === "finish") {
      const done = { kind: "finished", epoch, artifact: anArtifact(), artifactKey: "script.mp4" } as const;
      return void (await recordEnd(sql, { job, epoch }, done));
    }
    await cancelVideo(sql, this.#account, job);
    const stopped = { kind: "stopped", epoch, why: "cancel", step: line.step } as const;
    await recordEnd(sql, { job, epoch }, stopped);
  }
}

function at<T>(items: readonly T[], nth: number): T | undefined {
  return items[nth % Math.max(1, items.length)];
}
