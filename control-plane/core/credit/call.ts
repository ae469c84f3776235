/** One recorded call on a credit account, and the order in which calls count. */
import { burnOrder, compare } from "./grant.ts";
import type { Grant } from "./grant.ts";

export type Call =
  | { readonly t: "grant"; readonly at: number; readonly grant: Grant }
  | { readonly t: "void"; readonly at: number; readonly grant: Grant }
  | { readonly t: "use"; readonly at: number; readonly amount: bigint }
  | { readonly t: "hold"; readonly at: number; readonly job: string; readonly amount: bigint }
  | { readonly t: "capture"; readonly at: number; readonly job: string; readonly amount: bigint }
  | { readonly t: "release"; readonly at: number; readonly job: string; readonly fault: "user" | "platform" }
  | { readonly t: "start"; readonly at: number; readonly job: string; readonly ratePerSecond: bigint }
  | { readonly t: "stop"; readonly at: number; readonly job: string };

/**
 * By second, grants first within it. Grants of one second count in burn order, so that it does not matter which of them
 * arrived first; other calls of one second are equal here and stay in order of arrival.
 */
export function callOrder(a: Call, b: Call): number {
  if (a.at !== b.at) return compare(a.at, b.at);
  if (a.t === "grant" && b.t === "grant") return burnOrder(a.grant, b.grant);
  return Number(b.t === "grant") - Number(a.t === "grant");
}

/** How many items come before the first that fails the test; items that pass it come first. */
export function countWhile<T>(items: readonly T[], passes: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const item = items[middle];
    if (item !== undefined && passes(item)) low = middle + 1;
    else high = middle;
  }
  return low;
}
