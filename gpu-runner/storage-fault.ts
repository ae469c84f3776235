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
 * This host's disk. `host_fatal`, not `capacity`: that would count against the job, which after three of them is given up as too big
 * for any runner. A host that fails every job fast would attract all of them; so it is what rests. A store that is full
 * (`StoreFullError`) is nobody's fault here, and only worth another try.
 */
export function storageFull(fault: unknown): RunError {
  return { class: "host_fatal", code: "storage_full", detail: reasonOf(fault) };
}

export function reasonOf(fault: unknown): string {
  if (!(fault instanceof Error)) return String(fault).slice(0, DETAIL_CHARS_MAX);
  const why = fault.cause instanceof Error ? `${fault.message}: ${fault.cause.message}` : fault.message;
  return why.slice(0, DETAIL_CHARS_MAX);
}
