/**
 * What the model world is made of: classes for one device and for gangs, two kinds of GPU, three tiers and their variants.
 * A step of a small job takes one second on one device; all figures are easy to check by hand.
 */
import type { RunnerTerms, TierTerms } from "#control-plane/core/scheduler/event.ts";
import type { CostModel, JobClass } from "#control-plane/core/scheduler/job-class.ts";

const GIB = 2 ** 30;
export const STEP_MS = 1_000;
export const LOAD_MS = 2_000;

export const CLASSES: readonly JobClass[] = [
  jobClass("small", [1], 10),
  jobClass("rigid", [1], 20, "none"),
  jobClass("wide", [1, 2, 4, 8], 40),
  jobClass("pair", [2, 4], 16),
  jobClass("gang", [8], 60),
];

/** Each doubling of a gang wastes a tenth; the slow kind takes twice as long. */
export const COST: CostModel = {
  runMs: (_class, gpu, k, steps) => Math.ceil((steps * STEP_MS * overhead(k) * (gpu === "slow" ? 2 : 1)) / k),
  loadMs: () => LOAD_MS,
  chargeMs: (classId, steps) => Math.ceil(steps * STEP_MS * overhead(narrowest(classId))),
};

export const RUNNERS: readonly RunnerTerms[] = [
  runner("r0", 8, "fast", 80),
  runner("r1", 8, "fast", 80),
  runner("r2", 4, "fast", 80),
  runner("r3", 2, "fast", 24),
  runner("r4", 1, "slow", 24),
];

/** A tier's terms and what an administrator may make of them while it runs. */
export const TIER_VARIANTS: Readonly<Record<string, readonly TierTerms[]>> = {
  free: [tier("free", 1, 1, 1_000), tier("free", 1, 2, 3), tier("free", 2, 1, 1_000)],
  plus: [tier("plus", 4, 3, 1_000), tier("plus", 4, 1, 1_000), tier("plus", 5, 4, 2)],
  pro: [tier("pro", 10, 10, 1_000), tier("pro", 10, 2, 1_000), tier("pro", 7, 3, 4)],
};
export const TIER_NAMES = Object.keys(TIER_VARIANTS);

/** Which tier each of the accounts is in at first. */
export const ACCOUNTS: Readonly<Record<string, string>> = {
  a0: "free",
  a1: "free",
  a2: "free",
  a3: "plus",
  a4: "plus",
  a5: "pro",
  a6: "pro",
};
export const ACCOUNT_NAMES = Object.keys(ACCOUNTS);

export function variantOf(tier: string, variant: number): TierTerms {
  const variants = TIER_VARIANTS[tier] ?? [];
  const terms = variants[variant % variants.length];
  if (terms === undefined) throw new Error(`There is no tier ${tier}.`);
  return terms;
}

export function classOf(id: string): JobClass {
  const found = CLASSES.find((known) => known.id === id);
  if (found === undefined) throw new Error(`There is no class ${id}.`);
  return found;
}

function jobClass(id: string, ks: readonly number[], gib: number, resume: JobClass["resume"] = "exact"): JobClass {
  return { id, model: "m", shapes: ks.map((k) => ({ k, vramBytes: gib * GIB })), resume, batchMax: 1 };
}

function runner(id: string, count: number, gpu: string, gib: number): RunnerTerms {
  const devices = Array.from({ length: count }, (_, n) => ({ id: `${id}.${n}`, vramBytes: gib * GIB, slots: 1 }));
  return { id, gpu, devices };
}

function tier(name: string, weight: number, accountRunningMax: number, tierRunningMax: number): TierTerms {
  return { tier: name, weight, shareMin: 1, shareMax: 100, accountRunningMax, tierRunningMax };
}

function overhead(k: number): number {
  return 1 + 0.1 * Math.log2(k);
}

function narrowest(classId: string): number {
  return classOf(classId).shapes[0]?.k ?? 1;
}
