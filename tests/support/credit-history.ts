/** Random histories of a credit account: small numbers, so that everything collides with everything. */
import fc from "fast-check";
import type { GpuCreditCalculator } from "#control-plane/core/credit-calculator.ts";

type Arguments<Method extends keyof GpuCreditCalculator> = GpuCreditCalculator[Method] extends (
  argument: infer A,
) => unknown
  ? A
  : never;

export type CreditStep =
  | ({ readonly do: "grant" } & Arguments<"grant">)
  | ({ readonly do: "voidGrant" } & Arguments<"voidGrant">)
  | ({ readonly do: "use" } & Arguments<"use">)
  | ({ readonly do: "hold" } & Arguments<"hold">)
  | ({ readonly do: "capture" } & Arguments<"capture">)
  | ({ readonly do: "release" } & Arguments<"release">)
  | ({ readonly do: "startJob" } & Arguments<"startJob">)
  | ({ readonly do: "stopJob" } & Arguments<"stopJob">)
  | { readonly do: "query"; readonly at: number };

export type ChosenPolicy = NonNullable<ConstructorParameters<typeof GpuCreditCalculator>[0]>;

export interface CreditHistory {
  readonly policy: ChosenPolicy;
  readonly steps: readonly CreditStep[];
}

/** No step is later, no grant lives longer: what the naive account has to play. */
export const STEP_AT_MAX = 24;
export const GRANT_SECONDS_MAX = 12;

type Arbitrary<T> = fc.Arbitrary<T>;
type Story = readonly CreditStep[];

const smallAmount = fc.bigInt({ min: 1n, max: 5n });
const waitSeconds = fc.integer({ min: 0, max: 6 });
const startAt = fc.integer({ min: 0, max: 16 });
const anyAt = fc.integer({ min: 0, max: STEP_AT_MAX });
const fault = fc.constantFrom("user" as const, "platform" as const);

const policies = fc.record({
  end: fc.constantFrom("exclusive", "inclusive"),
  overdraw: fc.constantFrom("reject", "clamp", "debt", "poison"),
  empty: fc.constantFrom("zero", "null"),
  makeGoodSeconds: fc.integer({ min: 0, max: 6 }),
});

/** Most steps arrive when they happen, some later. */
const delaySeconds = fc.oneof(
  { weight: 3, arbitrary: fc.constant(0) },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: STEP_AT_MAX }) },
);

/** Histories of up to so many stories: a grant, a use, a held job, a metered job, in order of arrival. */
export function creditHistories(storiesMax = 8): Arbitrary<CreditHistory> {
  // Mostly another grant, sometimes one that is there; few enough jobs that they meet.
  const grant = grantStory(names("g", 2 * storiesMax));
  const job = names("job", Math.max(4, Math.floor(storiesMax / 4)));
  const story = fc.oneof(
    { weight: 4, arbitrary: grant },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("use" as const), at: anyAt, amount: smallAmount }).map(alone) },
    { weight: 4, arbitrary: heldStory(job) },
    { weight: 1, arbitrary: meteredStory(job) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("query" as const), at: anyAt }).map(alone) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("release" as const), at: anyAt, job, fault }).map(alone) },
  );
  return fc
    .record({
      policy: policies,
      first: fc.array(grant, { minLength: 1, maxLength: 2 }),
      stories: fc.array(story, { maxLength: storiesMax - 2, size: "max" }),
      delays: fc.array(delaySeconds, { maxLength: 12, size: "max" }),
    })
    .map(({ policy, first, stories, delays }) => ({
      policy,
      steps: [...first, ...stories]
        .flat()
        .map((step, index) => ({ step, arrivesAt: step.at + (delays[index % delays.length] ?? 0) }))
        .sort((a, b) => a.arrivesAt - b.arrivesAt)
        .map(({ step }) => ({ ...step, at: Math.min(step.at, STEP_AT_MAX) })),
    }));
}

function grantStory(id: Arbitrary<string>): Arbitrary<Story> {
  return fc
    .record({
      id,
      amount: fc.bigInt({ min: 1n, max: 12n }),
      at: fc.integer({ min: 0, max: 10 }),
      lifeSeconds: fc.option(fc.integer({ min: -1, max: GRANT_SECONDS_MAX }), { freq: 6 }),
      priority: fc.constantFrom(0, 1, 50),
      category: fc.constantFrom("promotional" as const, "plan" as const, "paid" as const),
      voidAfter: fc.oneof({ weight: 4, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: waitSeconds }),
    })
    .map(({ lifeSeconds, voidAfter, ...grant }): Story => [
      { do: "grant", ...grant, expiresAt: lifeSeconds === null ? null : grant.at + lifeSeconds },
      ...(voidAfter === null ? [] : [{ do: "voidGrant" as const, grant: grant.id, at: grant.at + voidAfter }]),
    ]);
}

function heldStory(job: Arbitrary<string>): Arbitrary<Story> {
  return fc
    .record({
      job,
      amount: smallAmount,
      at: startAt,
      captures: fc.array(fc.record({ amount: fc.bigInt({ min: 1n, max: 3n }), waitSeconds }), { maxLength: 2 }),
      release: fc.option(fc.record({ fault, waitSeconds }), { freq: 4 }),
    })
    .map(({ captures, release, job, amount, at: heldAt }): Story => {
      let at = heldAt;
      const captured = captures.map(({ amount, waitSeconds }): CreditStep => {
        at += waitSeconds;
        return { do: "capture", job, amount, at };
      });
      const end: Story =
        release === null ? [] : [{ do: "release", job, fault: release.fault, at: at + release.waitSeconds }];
      return [{ do: "hold", job, amount, at: heldAt }, ...captured, ...end];
    });
}

/** Start, stop, start. */
function meteredStory(job: Arbitrary<string>): Arbitrary<Story> {
  return fc
    .record({
      job,
      ratePerSecond: fc.bigInt({ min: 1n, max: 4n }),
      at: startAt,
      waits: fc.array(waitSeconds, { maxLength: 2 }),
    })
    .map(({ job, ratePerSecond, at: startedAt, waits }): Story => {
      let at = startedAt;
      const moves = waits.map((seconds, index): CreditStep => {
        at += seconds;
        return index % 2 === 0 ? { do: "stopJob", job, at } : { do: "startJob", job, ratePerSecond, at };
      });
      return [{ do: "startJob", job, ratePerSecond, at: startedAt }, ...moves];
    });
}

function alone(step: CreditStep): Story {
  return [step];
}

function names(prefix: string, count: number): Arbitrary<string> {
  return fc.integer({ min: 1, max: count }).map((n) => `${prefix}${n}`);
}
