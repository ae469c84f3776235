/**
 * Disks that take no more, here or in the store. Such a fault says nothing about the job, its engine or its files: the
 * attempt ends as `storage_full` and the job goes to another runner.
 */
import type { RunError } from "#protocol/runner.ts";

const FULL_CODES: ReadonlySet<unknown> = new Set(["ENOSPC", "EDQUOT", "EROFS"]);
const CAUSES_MAX = 8;
const DETAIL_CHARS_MAX = 2_000;

/** The store answered 507. */
export class StoreFullError extends Error {
  override readonly name = "StoreFullError";
}

export function isStorageFull(fault: unknown): boolean {
  let at = fault;
  for (let depth = 0; depth < CAUSES_MAX && at instanceof Error; depth++) {
    if (at instanceof StoreFullError || ("code" in at && FULL_CODES.has(at.code))) return true;
    at = at.cause;
  }
  return false;
}

/**
 * `retryable`, not `capacity`: a capacity fault counts against the job, which after three of them is given up as too big
 * for any runner; a full disk is the host's, and must neither use up the job's tries nor raise what its shape is said to need.
 */
export function storageFull(fault: unknown): RunError {
  return { class: "retryable", code: "storage_full", detail: reasonOf(fault) };
}

export function reasonOf(fault: unknown): string {
  if (!(fault instanceof Error)) return String(fault).slice(0, DETAIL_CHARS_MAX);
  const why = fault.cause instanceof Error ? `${fault.message}: ${fault.cause.message}` : fault.message;
  return why.slice(0, DETAIL_CHARS_MAX);
}
