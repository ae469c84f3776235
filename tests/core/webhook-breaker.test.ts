/** What failures do to an endpoint, and which secrets sign for it. */
import { expect, test } from "vitest";
import { afterFailure, FAILURES_MAX, FIRST_REST_MS, REST_MS_MAX } from "#control-plane/core/webhook-breaker.ts";
import type { Failing } from "#control-plane/core/webhook-breaker.ts";
import { RETIRING_SECRETS_MAX, rotated, signing } from "#control-plane/core/webhook-secret.ts";
import { SCHEDULE_MS } from "#control-plane/core/webhook-schedule.ts";

const SOUND: Failing = { failures: 0, failingSinceMs: null };
const OUTAGE = { kind: "unreachable", message: "refused" } as const;
const answered = (status: number, retryAfterMs: number | null = null) =>
  ({ kind: "answered", status, retryAfterMs }) as const;

test("an endpoint rests after its fifth failure in a row, and each time longer, up to ten minutes", () => {
  const rests: number[] = [];
  let before = SOUND;
  for (let failure = 1; failure <= 15; failure++) {
    const after = afterFailure(before, OUTAGE, 1_000 + failure);
    if (after.kind === "disabled") throw new Error("only seconds have passed");
    expect(after).toMatchObject({ failures: failure, failingSinceMs: 1_001 });
    rests.push(after.kind === "rests" ? after.restMs : 0);
    before = after;
  }
  expect(rests.slice(0, FAILURES_MAX)).toEqual([0, 0, 0, 0, FIRST_REST_MS]);
  expect(rests.slice(FAILURES_MAX, FAILURES_MAX + 3)).toEqual([20_000, 40_000, 80_000]);
  expect(rests.at(-1)).toBe(REST_MS_MAX);
});

test("an overloaded receiver is left alone for as long as it asks, but not for ever", () => {
  expect(afterFailure(SOUND, answered(429, 30_000), 0)).toMatchObject({ kind: "rests", restMs: 30_000 });
  expect(afterFailure(SOUND, answered(503, 86_400_000), 0)).toMatchObject({ kind: "rests", restMs: REST_MS_MAX });
  expect(afterFailure(SOUND, answered(500, 30_000), 0)).toMatchObject({ kind: "goes_on" });
});

test("an endpoint that failed as long as a delivery is tried is disabled, one that succeeded in between is not", () => {
  const old: Failing = { failures: 40, failingSinceMs: 1_000 };
  expect(afterFailure(old, OUTAGE, 1_000 + SCHEDULE_MS - 1).kind).toBe("rests");
  expect(afterFailure(old, OUTAGE, 1_000 + SCHEDULE_MS)).toEqual({ kind: "disabled", reason: "kept_failing" });
  expect(afterFailure(SOUND, OUTAGE, 1_000 + SCHEDULE_MS).kind).toBe("goes_on");
});

test("an endpoint that says 410 is disabled at once", () => {
  expect(afterFailure(SOUND, answered(410), 5)).toEqual({ kind: "disabled", reason: "receiver_gone" });
});

test("a replaced secret signs until its overlap ends, and not longer than a later rotation says", () => {
  const first = rotated({ secret: "a", retiring: [] }, "b", 1_000, 0);
  expect(signing(first, 999)).toEqual(["b", "a"]);
  expect(signing(first, 1_000)).toEqual(["b"]);
  const leak = rotated(first, "c", 0, 500);
  expect(signing(leak, 500)).toEqual(["c"]);
  const shorter = rotated(first, "c", 100, 500);
  expect(signing(shorter, 599)).toEqual(["c", "b", "a"]);
  expect(signing(shorter, 600)).toEqual(["c"]);
});

test("however often a secret is rotated, a signature has a bounded length", () => {
  let secrets = rotated({ secret: "0", retiring: [] }, "1", 1_000, 0);
  for (let n = 2; n < 20; n++) secrets = rotated(secrets, String(n), 1_000, 0);
  expect(signing(secrets, 0)).toEqual(["19", "18", "17", "16"].slice(0, RETIRING_SECRETS_MAX + 1));
});
