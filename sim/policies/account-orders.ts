/**
 * Orders that are fair in some way between accounts: by turns, by counted tasks, by charge.
 *
 * A head that does not fit is skipped: with reservations all three are worse for light accounts.
 */
import type { CostModel } from "#control-plane/core/scheduler/job-class.ts";
import type { Order } from "./baseline.ts";

/** Accounts in turn, one job each; who joins stands at the end of the round. Tiers do not count. */
export function roundRobin(): Order {
  let turn = 0;
  return {
    name: "round-robin",
    blocked: "skip",
    keyOf: (account) => account.key,
    joins: (account) => {
      account.key = ++turn;
    },
    served: (account) => {
      account.key = ++turn;
    },
  };
}

/** Stride scheduling where every job costs one: pass grows by 1 / weight. Who joins is lifted to the pass of the last served. */
export function strideCount(): Order {
  let pass = 0;
  return {
    name: "stride-count",
    blocked: "skip",
    keyOf: (account) => account.key,
    joins: (account) => {
      account.key = Math.max(account.key, pass);
    },
    served: (account) => {
      pass = Math.max(pass, account.key);
      account.key += 1 / account.terms.weight;
    },
  };
}

/** The least counter of charge over weight. Who joins is lifted to the counter of the last served, so idling banks nothing. */
export function vtc(cost: CostModel): Order {
  let least = 0;
  return {
    name: "vtc",
    blocked: "skip",
    keyOf: (account) => account.key,
    joins: (account) => {
      account.key = Math.max(account.key, least);
    },
    served: (account, job) => {
      least = Math.max(least, account.key);
      account.key += cost.chargeMs(job.class, Math.max(1, job.steps - job.stepsDone)) / account.terms.weight;
    },
  };
}
