/**
 * Synthetic workloads by name and seed, calibrated on a production trace (`calibration.ts`) and scaled so that they offer
 * 0.85 of 64 H100 by the cost model's own cheapest GPU-seconds. The same name and seed give the same lines, byte for byte.
 *
 * 1. The accounts, with their activity. 2. Their sessions: jobs that follow each other within seconds. 3. The
 * span, from the work that all jobs ask for. 4. The tiers, which depend on how much an account asks for in that span.
 */
import { SeededCostModel } from "#control-plane/core/scheduler/cost-model.ts";
import type { WorkloadLine } from "../workload-file.ts";
import {
  DAY_CONCENTRATION,
  DEVICES,
  FAILED_SHARE,
  GAP_LOG_SIGMA,
  GAP_MEDIAN_S,
  OFFERED_LOAD,
  RUN_JOBS_MAX,
  SESSION_JOBS_MAX,
  TRACE_TIME_SCALE,
} from "./calibration.ts";
import { accountName, favouritesOf, popularityOf, populate, tiersOf } from "./population.ts";
import type { Account, Weights } from "./population.ts";
import { RandomStream } from "./random.ts";
import { FILM_MODEL, FILM_SECONDS, RECIPES } from "./recipe.ts";
import type { ModelUse, Recipe } from "./recipe.ts";

/** A job before it has a time: its session starts at a part of the span, and it follows by seconds. */
interface Draft {
  readonly account: string;
  readonly startPart: number;
  readonly afterSeconds: number;
  readonly request: Omit<WorkloadLine, "at_s" | "account" | "tier">;
}

/** When a session starts, as a part of the span. */
type Starts = (random: RandomStream) => number;

export function syntheticWorkload(name: string, seed: number): readonly WorkloadLine[] {
  const recipe = RECIPES.get(name);
  if (recipe === undefined) throw new Error(`no workload ${name}; there are ${[...RECIPES.keys()].join(", ")}`);
  const random = (purpose: string) => new RandomStream(seed, `${name} ${purpose}`);

  const accounts = populate(recipe, random("accounts"));
  const drafts = [
    ...sessionsOf(accounts, recipe, daily(recipe.days), random("sessions")),
    ...crowdOf(accounts, recipe, random("spike")),
    ...floodOf(accounts, recipe, random("flood")),
  ];
  const costs = costsOf(drafts);
  const spanSeconds = costs.reduce((sum, cost) => sum + cost, 0) / (DEVICES * OFFERED_LOAD);
  const demand = new Map<string, number>();
  drafts.forEach(({ account }, at) => demand.set(account, (demand.get(account) ?? 0) + (costs[at] ?? 0)));
  const tiers = tiersOf(demand, spanSeconds, random("tiers"));
  return timed(drafts, spanSeconds).map(({ at_s, draft: { account, request } }) => {
    const tier = tiers.get(account);
    if (tier === undefined) throw new Error(`${account} has no tier`);
    return { at_s, account, tier, ...request };
  });
}

function sessionsOf(accounts: readonly Account[], recipe: Recipe, starts: Starts, random: RandomStream): Draft[] {
  return accounts.flatMap((account) => {
    const drafts: Draft[] = [];
    while (drafts.length < account.jobs) {
      const jobs = Math.min(account.jobs - drafts.length, 1 + random.integer(SESSION_JOBS_MAX));
      drafts.push(...sessionOf(account, jobs, starts(random), recipe, random));
    }
    return drafts;
  });
}

function sessionOf(account: Account, jobs: number, startPart: number, recipe: Recipe, random: RandomStream): Draft[] {
  const favourite = account.favourites[random.integer(account.favourites.length)];
  if (favourite === undefined) throw new Error(`${account.name} uses no weights`);
  const drafts: Draft[] = [];
  let afterSeconds = 0;
  while (drafts.length < jobs) {
    const wanted = wantedOf(favourite, recipe, random);
    const run = Math.min(jobs - drafts.length, 1 + random.integer(RUN_JOBS_MAX));
    for (let n = 0; n < run; n++) {
      const outcome = random.uniform() < FAILED_SHARE ? "failed" : "ok";
      drafts.push({ account: account.name, startPart, afterSeconds, request: { ...wanted, outcome } });
      afterSeconds += (GAP_MEDIAN_S / TRACE_TIME_SCALE) * Math.exp(GAP_LOG_SIGMA * random.normal());
    }
  }
  return drafts;
}

function wantedOf(favourite: Weights, recipe: Recipe, random: RandomStream): Omit<Draft["request"], "outcome"> {
  const [size, seconds] = random.pick(recipe.classMix);
  const use: ModelUse = seconds === FILM_SECONDS ? FILM_MODEL : favourite.use;
  const weights = use === favourite.use ? favourite.name : `${favourite.name}-film`;
  return { model: use.model, weights, size, seconds, steps: random.pick(use.stepMix) };
}

/** New accounts of one to three jobs, for as long as it takes to multiply the mean rate. */
function crowdOf(accounts: readonly Account[], recipe: Recipe, random: RandomStream): Draft[] {
  const { spike } = recipe;
  if (spike === null) return [];
  const popularity = popularityOf(recipe);
  const extra = (spike.factor - 1) * spike.part * jobsOf(accounts);
  const crowd: Account[] = [];
  for (let jobs = 0; jobs < extra; jobs += crowd.at(-1)?.jobs ?? 1) {
    const own = 1 + random.integer(3);
    const favourites = favouritesOf(own, popularity, random);
    crowd.push({ name: accountName(accounts.length + crowd.length), jobs: own, favourites });
  }
  return sessionsOf(crowd, recipe, within(spike), random);
}

/** One more account, whose jobs arrive as fast as a loop can send them. */
function floodOf(accounts: readonly Account[], recipe: Recipe, random: RandomStream): Draft[] {
  const { flood } = recipe;
  if (flood === null) return [];
  const jobs = Math.round((jobsOf(accounts) * flood.share) / (1 - flood.share));
  const favourites = favouritesOf(1, popularityOf(recipe), random);
  const small: Recipe = { ...recipe, classMix: [[["832x480", 5], 1]] };
  return sessionsOf([{ name: accountName(accounts.length), jobs, favourites }], small, within(flood), random);
}

const jobsOf = (accounts: readonly Account[]) => accounts.reduce((sum, { jobs }) => sum + jobs, 0);

function within({ fromPart, part }: { readonly fromPart: number; readonly part: number }): Starts {
  return (random) => fromPart + part * random.uniform();
}

/** Even, or with nights: drawn by rejection under the peak of exp(concentration x cos). */
function daily(days: number): Starts {
  if (days === 0) return (random) => random.uniform();
  return (random) => {
    for (;;) {
      const part = random.uniform();
      const rate = Math.exp(DAY_CONCENTRATION * (-Math.cos(2 * Math.PI * days * part) - 1));
      if (random.uniform() < rate) return part;
    }
  };
}

function costsOf(drafts: readonly Draft[]): readonly number[] {
  const model = new SeededCostModel();
  return drafts.map(({ request }) => {
    const jobClass = model.define(request.model, request.size, request.seconds);
    if (jobClass === null) throw new Error(`no class holds ${request.model} ${request.size} ${request.seconds} s`);
    return model.chargeMs(jobClass.id, request.steps) / 1000;
  });
}

/** In order of arrival, the first at 0 and the last at the end of the span; what would come later wraps around. */
function timed(drafts: readonly Draft[], spanSeconds: number): readonly { at_s: number; draft: Draft }[] {
  const ordered = drafts
    .map((draft, at) => ({ at, draft, seconds: (draft.startPart * spanSeconds + draft.afterSeconds) % spanSeconds }))
    .toSorted((a, b) => a.seconds - b.seconds || a.at - b.at);
  const [first, last] = [ordered[0]?.seconds ?? 0, ordered.at(-1)?.seconds ?? 0];
  const scale = last > first ? spanSeconds / (last - first) : 1;
  return ordered.map(({ draft, seconds }) => ({ at_s: Math.round((seconds - first) * scale * 1000) / 1000, draft }));
}
