import { describe, expect, test } from "vitest";
import { SeededCostModel } from "#control-plane/core/scheduler/cost-model.ts";
import { WorkloadLine } from "../../sim/workload-file.ts";
import {
  CLASS_MIX,
  DEVICES,
  FAILED_SHARE,
  OFFERED_LOAD,
  TIER_SHARES,
  TOP_1_PERCENT_OF_JOBS,
  TOP_10_PERCENT_OF_JOBS,
  TOP_10_PERCENT_OF_WEIGHTS,
  WEIGHTS_COUNT,
} from "../../sim/workload/calibration.ts";
import { RandomStream } from "../../sim/workload/random.ts";
import { FILM_SECONDS, RECIPES } from "../../sim/workload/recipe.ts";
import { syntheticWorkload } from "../../sim/workload/synthetic.ts";

const NAMES = [...RECIPES.keys()];
const SEEDS = [1, 2, 3] as const;
const RUNS = NAMES.flatMap((name) => SEEDS.map((seed) => [name, seed, syntheticWorkload(name, seed)] as const));
/** Those whose accounts are the calibrated population and nobody else. */
const CALIBRATED = RUNS.filter(([name]) => ["steady", "diurnal", "gang-heavy", "cold-models"].includes(name));
type Lines = readonly WorkloadLine[];

function countBy(lines: Lines, key: (line: WorkloadLine) => string): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const line of lines) counts.set(key(line), (counts.get(key(line)) ?? 0) + 1);
  return counts;
}

const descending = (counts: ReadonlyMap<string, number>) => [...counts.values()].toSorted((a, b) => b - a);
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
const spanOf = (lines: Lines) => lines.at(-1)!.at_s - lines[0]!.at_s;

function topShare(lines: Lines, key: (line: WorkloadLine) => string, top: (count: number) => number): number {
  const counts = descending(countBy(lines, key));
  return sum(counts.slice(0, Math.round(top(counts.length)))) / lines.length;
}

function gpuSeconds(lines: Lines): number {
  const cost = new SeededCostModel();
  return sum(
    lines.map(({ model, size, seconds, steps }) => cost.chargeMs(cost.define(model, size, seconds)!.id, steps) / 1000),
  );
}

/** Jobs in each of `bins` equal parts of the time. */
function histogram(lines: Lines, bins: number): readonly number[] {
  const counts = Array.from({ length: bins }, () => 0);
  for (const { at_s } of lines) counts[Math.min(bins - 1, Math.floor((at_s / spanOf(lines)) * bins))]!++;
  return counts;
}

describe.each(RUNS)("%s with seed %i", (name, seed, lines) => {
  test("is a few thousand valid lines in order of arrival, over four to twelve hours", () => {
    for (const line of lines) WorkloadLine.parse(line);
    expect(lines.map(({ at_s }) => at_s)).toEqual(lines.map(({ at_s }) => at_s).toSorted((a, b) => a - b));
    expect(lines[0]?.at_s).toBe(0);
    expect(lines.length).toBeGreaterThan(1_500);
    expect(lines.length).toBeLessThan(6_000);
    expect(spanOf(lines)).toBeGreaterThan(4 * 3600);
    expect(spanOf(lines)).toBeLessThan(12.5 * 3600);
  });

  test("offers 0.85 of 64 H100", () => {
    expect(gpuSeconds(lines) / (DEVICES * spanOf(lines)) / OFFERED_LOAD).toBeCloseTo(1, 2);
  });

  test("has 80, 15 and 5 % of its accounts on free, plus and pro, each account on one", () => {
    const tiers = new Map<string, string>();
    for (const { account, tier } of lines) expect(tiers.getOrInsert(account, tier)).toBe(tier);
    for (const [tier, share] of TIER_SHARES) {
      const found = [...tiers.values()].filter((one) => one === tier).length / tiers.size;
      expect(Math.abs(found - share)).toBeLessThan(0.005);
    }
  });

  test("fails 1.5 % of its jobs", () => {
    const failed = lines.filter(({ outcome }) => outcome === "failed").length / lines.length;
    expect(Math.abs(failed - FAILED_SHARE)).toBeLessThan(0.008);
  });

  test("is the same again for the same seed and another for another", () => {
    expect(JSON.stringify(syntheticWorkload(name, seed))).toBe(JSON.stringify(lines));
    expect(JSON.stringify(syntheticWorkload(name, seed + 100))).not.toBe(JSON.stringify(lines));
  });
});

describe.each(CALIBRATED)("the accounts of %s with seed %i", (_name, _seed, lines) => {
  test("are as unequal as those of the trace", () => {
    const account = (line: WorkloadLine) => line.account;
    expect(Math.abs(topShare(lines, account, (n) => n / 100) - TOP_1_PERCENT_OF_JOBS)).toBeLessThan(0.02);
    expect(Math.abs(topShare(lines, account, (n) => n / 10) - TOP_10_PERCENT_OF_JOBS)).toBeLessThan(0.02);
    const jobs = descending(countBy(lines, account));
    expect(jobs[Math.floor(jobs.length / 2)]).toBe(2);
    expect(Math.abs(jobs[Math.floor(jobs.length / 100)]! - 65)).toBeLessThan(10);
  });
});

test.each(RUNS.filter(([name]) => ["steady", "diurnal"].includes(name)))(
  "%s with seed %i asks for weights and classes as the trace does",
  (_name, _seed, lines) => {
    const weights = topShare(
      lines,
      ({ weights }) => weights,
      () => WEIGHTS_COUNT / 10,
    );
    expect(Math.abs(weights - TOP_10_PERCENT_OF_WEIGHTS)).toBeLessThan(0.06);
    const classes = countBy(lines, ({ size, seconds }) => `${size} ${seconds}`);
    for (const [[size, seconds], share] of CLASS_MIX) {
      expect(Math.abs((classes.get(`${size} ${seconds}`) ?? 0) / lines.length - share)).toBeLessThan(0.04);
    }
  },
);

test.each(SEEDS)("steady is bursty by its accounts only, diurnal has nights (seed %i)", (seed) => {
  const spread = (lines: Lines) => {
    const gaps = lines.slice(1).map(({ at_s }, n) => at_s - lines[n]!.at_s);
    const mean = sum(gaps) / gaps.length;
    return Math.sqrt(sum(gaps.map((gap) => (gap - mean) ** 2)) / gaps.length) / mean;
  };
  const [steady, diurnal] = [syntheticWorkload("steady", seed), syntheticWorkload("diurnal", seed)];
  expect(spread(steady)).toBeGreaterThan(1.3);
  expect(spread(steady)).toBeLessThan(2.5);
  expect(spread(diurnal)).toBeGreaterThan(4);
  const hours = histogram(diurnal, 48);
  const folded = hours.slice(0, 24).map((count, hour) => count + hours[hour + 24]!);
  const peakOverMean = Math.max(...folded) / (diurnal.length / 24);
  expect(peakOverMean).toBeGreaterThan(2.8);
  expect(peakOverMean).toBeLessThan(4.8);
});

test.each(SEEDS)("viral-spike brings many new accounts at about six times the rate (seed %i)", (seed) => {
  const lines = syntheticWorkload("viral-spike", seed);
  const counts = histogram(lines, 25);
  const usual = counts.toSorted((a, b) => a - b)[12]!;
  // The window of 1/25 of the time may lie across two bins.
  const spike = Math.max(...counts.slice(1).map((count, n) => count + counts[n]!)) - usual;
  expect(spike / usual).toBeGreaterThan(4.5);
  expect(spike / usual).toBeLessThan(8);
  const newcomers = [...countBy(lines, ({ account }) => account)].filter(([account]) => account > "account-0500");
  expect(newcomers.length).toBeGreaterThan(250);
  expect(Math.max(...newcomers.map(([, jobs]) => jobs))).toBeLessThanOrEqual(3);
});

test.each(SEEDS)(
  "noisy-neighbour has one account that floods a fifth of all jobs within half an hour or so (seed %i)",
  (seed) => {
    const lines = syntheticWorkload("noisy-neighbour", seed);
    const flood = lines.filter(({ account }) => account === "account-0501");
    expect(flood.length / lines.length).toBeCloseTo(0.2, 2);
    expect(spanOf(flood) / spanOf(lines)).toBeLessThan(0.08);
  },
);

test.each(SEEDS)(
  "more than half of the work of gang-heavy needs eight GPUs, and it holds minutes of 1080p (seed %i)",
  (seed) => {
    const lines = syntheticWorkload("gang-heavy", seed);
    const cost = new SeededCostModel();
    const wide = lines.filter(({ model, size, seconds, steps }) => {
      const { id } = cost.define(model, size, seconds)!;
      return [1, 2, 4].every((k) => cost.runMs(id, "H100-80", k, steps) === null);
    });
    expect(gpuSeconds(wide) / gpuSeconds(lines)).toBeGreaterThan(0.5);
    const films = lines.filter(({ seconds }) => seconds === FILM_SECONDS);
    expect(films.length).toBeGreaterThan(40);
    // One step is one segment, so a step boundary is a segment's end.
    for (const { model, size, seconds, steps } of films)
      expect(cost.define(model, size, seconds)?.segments).toBe(steps);
  },
);

test.each(SEEDS)("cold-models uses far more weights than there are devices, none of them much (seed %i)", (seed) => {
  const lines = syntheticWorkload("cold-models", seed);
  const weights = descending(countBy(lines, ({ weights }) => weights));
  expect(weights.length).toBeGreaterThan(4 * DEVICES);
  expect(weights[0]! / lines.length).toBeLessThan(0.05);
});

test.each(SEEDS)("no account needs more than its tier lets it run, on average (seed %i)", (seed) => {
  const lines = syntheticWorkload("steady", seed);
  for (const [tier, running] of [
    ["free", 1],
    ["plus", 3],
  ] as const) {
    const accounts = Map.groupBy(
      lines.filter((line) => line.tier === tier),
      ({ account }) => account,
    );
    const busiest = Math.max(...[...accounts.values()].map((own) => gpuSeconds(own) / spanOf(lines)));
    expect(busiest).toBeLessThan(running);
  }
});

test("an unknown workload is refused with the names there are", () => {
  expect(() => syntheticWorkload("quiet", 1)).toThrow(`no workload quiet; there are ${NAMES.join(", ")}`);
});

test("random streams are even, and of one seed differ by name", () => {
  const draws = (name: string) => {
    const random = new RandomStream(7, name);
    return Array.from({ length: 10_000 }, () => random.uniform());
  };
  const [a, b] = [draws("a"), draws("b")];
  expect(sum(a) / a.length).toBeCloseTo(0.5, 1);
  expect(Math.max(...a)).toBeLessThan(1);
  expect(a.filter((value, n) => Math.abs(value - b[n]!) < 0.01).length).toBeLessThan(400);
});
