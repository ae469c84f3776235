/**
 * Why does a job wait, and how long still? A dry run of the scheduler's order over a copy of its tags.
 *
 * Position is the number of jobs that go first under the current policy. The ETA is fluid: GPU time ahead over the
 * devices that are connected, corrected by how far estimates have been off so far; p90 is a wider reading of p50.
 */
import type { VideoId } from "#protocol/id.ts";
import type { BlockedBy } from "#protocol/video.ts";
import type { Explanation } from "./job-view.ts";
import { compare, inOrder, tagOf } from "./scheduler.ts";
import type { Running, WaitingJob, World } from "./scheduler.ts";

/** Dispatches dry-run at most; jobs behind them get a position only, no ETA. */
export const DRY_RUN_MAX = 2_000;
const P90_OVER_P50 = 1.5;

export function explainAll(world: World, nowMs: number): ReadonlyMap<VideoId, Explanation> {
  const devices = [...world.runners.values()].reduce((sum, runner) => sum + runner.devices.length, 0);
  const explained = new Map<VideoId, Explanation>();
  let aheadMs = 0;
  for (const running of world.running.values()) aheadMs += remainingMs(running, world.pace, nowMs);
  dispatchOrder(world).forEach((job, position) => {
    const runMs = job.gpuMs * world.pace;
    const timed = devices > 0 && position < DRY_RUN_MAX;
    explained.set(job.id, {
      position,
      eta: timed ? etaOf(aheadMs / devices, runMs) : null,
      blockedBy: blockedBy(world, job, nowMs),
    });
    aheadMs += runMs;
  });
  return explained;
}

/** Every waiting job in the order in which devices would come to it, caps aside. */
function dispatchOrder(world: World): readonly WaitingJob[] {
  const lanes = [...world.accounts.values()]
    .filter((account) => account.waiting.size > 0)
    .map((account) => ({
      id: account.terms.account,
      weight: account.terms.weight,
      tag: account.tag,
      jobs: inOrder(account.waiting),
    }));
  // Each job's start tag is known beforehand: its account's tag plus all that goes before it there.
  return lanes
    .flatMap((lane) => {
      let tag = lane.tag;
      return lane.jobs.map((job) => {
        const startTag = tag;
        tag += tagOf(job.gpuMs, lane.weight);
        return { job, startTag, account: lane.id };
      });
    })
    .toSorted((a, b) => a.startTag - b.startTag || compare(a.account, b.account))
    .map(({ job }) => job);
}

function blockedBy(world: World, job: WaitingJob, nowMs: number): BlockedBy {
  if (job.notBeforeMs > nowMs) return "backoff";
  const able = [...world.runners.values()].filter((runner) => runner.models.includes(job.model));
  if (able.length === 0) return "no_runner";
  const account = world.accounts.get(job.account);
  if (account !== undefined && account.running.size >= account.terms.maxRunning) return "account_concurrency";
  const others = [...world.accounts.values()].some((other) => other !== account && other.waiting.size > 0);
  return others ? "fair_share" : "capacity";
}

function remainingMs(running: Running, pace: number, nowMs: number): number {
  const elapsedMs = running.sinceMs === null ? 0 : nowMs - running.sinceMs;
  return Math.max(0, running.job.gpuMs * pace - elapsedMs);
}

function etaOf(waitMs: number, runMs: number): NonNullable<Explanation["eta"]> {
  const seconds = (ms: number) => Math.ceil(ms / 1_000);
  return {
    start_p50: seconds(waitMs),
    start_p90: seconds(waitMs * P90_OVER_P50),
    finish_p50: seconds(waitMs + runMs),
    finish_p90: seconds((waitMs + runMs) * P90_OVER_P50),
  };
}
