/** The accounts of a workload: how much each asks for, on which tier, and which weights it keeps to. */
import {
  ACTIVITY_QUANTILES,
  FAVOURITES,
  TIER_RUNNING_MAX,
  TIER_SHARES,
  TIER_USE_MAX,
  WEIGHTS_COUNT,
} from "./calibration.ts";
import type { RandomStream } from "./random.ts";
import type { ModelUse, Recipe } from "./recipe.ts";

export interface Weights {
  readonly name: string;
  readonly use: ModelUse;
}

export interface Account {
  readonly name: string;
  readonly jobs: number;
  readonly favourites: readonly Weights[];
}

/** Points at which a stratum's mean is taken. */
const STRATUM_POINTS = 64;

/** Every account stands for an equal part of the activity curve, so the skew holds for any number of them. */
export function populate(recipe: Recipe, random: RandomStream): readonly Account[] {
  const popularity = popularityOf(recipe);
  const strata = Array.from({ length: recipe.accounts }, (_, rank) => {
    const points = Array.from({ length: STRATUM_POINTS }, (_point, at) =>
      activityAt((rank + (at + 0.5) / STRATUM_POINTS) / recipe.accounts),
    );
    return Math.max(1, Math.round(points.reduce((sum, jobs) => sum + jobs, 0) / STRATUM_POINTS));
  });
  return random
    .shuffled(strata)
    .map((jobs, at) => ({ name: accountName(at), jobs, favourites: favouritesOf(jobs, popularity, random) }));
}

export function accountName(at: number): string {
  return `account-${String(at + 1).padStart(4, "0")}`;
}

/** Busy accounts use more weights, so that no single one decides what is popular. */
export function favouritesOf(
  jobs: number,
  popularity: readonly (readonly [Weights, number])[],
  random: RandomStream,
): readonly Weights[] {
  const count = Math.max(random.pick(FAVOURITES), Math.floor(jobs / 8));
  return Array.from({ length: count }, () => random.pick(popularity));
}

export function popularityOf({
  weightsCount,
  weightsExponent,
  models,
}: Recipe): readonly (readonly [Weights, number])[] {
  const digits = String(Math.max(weightsCount, WEIGHTS_COUNT)).length;
  return Array.from({ length: weightsCount }, (_, rank) => {
    const use = models[rank % models.length];
    if (use === undefined) throw new Error("a recipe names at least one model");
    return [{ name: `weights-${String(rank + 1).padStart(digits, "0")}`, use }, (rank + 2) ** -weightsExponent];
  });
}

/**
 * Tiers in their exact shares. The order is drawn, except that whoever needs more than `TIER_USE_MAX` of what a tier can
 * run at once over `spanSeconds` is above it.
 */
export function tiersOf(
  gpuSeconds: ReadonlyMap<string, number>,
  spanSeconds: number,
  random: RandomStream,
): ReadonlyMap<string, string> {
  const levelFor = (account: string) => levelOf((gpuSeconds.get(account) ?? 0) / spanSeconds);
  const tiers = new Map<string, string>();
  let open = random.shuffled([...gpuSeconds.keys()]);
  for (const [level, [tier, share]] of [...TIER_SHARES.entries()].toReversed()) {
    const places = level === 0 ? open.length : Math.round(share * gpuSeconds.size);
    // Who must be this high goes first; the other places are drawn among the rest, whatever they ask for.
    const must = open.filter((account) => levelFor(account) >= level);
    const rest = open.filter((account) => levelFor(account) < level);
    for (const account of [...must, ...rest].slice(0, places)) tiers.set(account, tier);
    open = open.filter((account) => !tiers.has(account));
  }
  return tiers;
}

/** The lowest tier that can run `devices` on average. */
function levelOf(devices: number): number {
  const level = TIER_SHARES.findIndex(([tier]) => devices <= TIER_USE_MAX * (TIER_RUNNING_MAX[tier] ?? 0));
  return level === -1 ? TIER_SHARES.length - 1 : level;
}

function activityAt(quantile: number): number {
  const above = ACTIVITY_QUANTILES.findIndex(([knot]) => knot >= quantile);
  const [from, to] = [ACTIVITY_QUANTILES[above - 1], ACTIVITY_QUANTILES[above]];
  if (from === undefined || to === undefined) return ACTIVITY_QUANTILES[0]?.[1] ?? 1;
  return from[1] * (to[1] / from[1]) ** ((quantile - from[0]) / (to[0] - from[0]));
}
