import { expect, test } from "vitest";
import { nextStep, RETRY_AFTER_MS } from "#control-plane/core/webhook-schedule.ts";
import { progressOf } from "#control-plane/core/progress.ts";
import { isPublicAddress } from "#control-plane/egress/address-guard.ts";
import { byteRange } from "#control-plane/http/byte-range.ts";
import { itemsOf } from "#control-plane/loop/edge-sender.ts";
import { Event } from "#protocol/event.ts";
import { AccountId, VideoId } from "#protocol/id.ts";

test.each([
  [200, "delivered"],
  [204, "delivered"],
  [301, "retry"],
  [404, "retry"],
  [410, "disable_endpoint"],
  [500, "retry"],
])("a receiver that answers %i is treated as %s", (status, kind) => {
  expect(nextStep({ kind: "answered", status, retryAfterMs: null }, 1, 0).kind).toBe(kind);
});

test("tries follow the schedule with jitter, honour Retry-After, and end", () => {
  const outage = { kind: "unreachable", message: "refused" } as const;
  expect(nextStep(outage, 1, 0)).toEqual({ kind: "retry", delayMs: 5_000 });
  expect(nextStep(outage, 1, 0.999)).toMatchObject({ delayMs: expect.closeTo(5_500, -1) as number });
  expect(nextStep({ kind: "answered", status: 429, retryAfterMs: 60_000 }, 1, 0)).toEqual({
    kind: "retry",
    delayMs: 60_000,
  });
  expect(nextStep(outage, RETRY_AFTER_MS.length + 1, 0)).toEqual({ kind: "give_up" });
  expect(nextStep({ kind: "forbidden", message: "private" }, 1, 0)).toEqual({ kind: "give_up" });
});

test.each([
  "127.0.0.1",
  "10.1.2.3",
  "169.254.169.254",
  "::1",
  "::ffff:127.0.0.1",
  "fd00::1",
  "64:ff9b::7f00:1",
  "100.64.0.1",
  "0.0.0.0",
  "224.0.0.1",
])("webhooks never reach %s", (address) => expect(isPublicAddress(address)).toBe(false));
test("webhooks reach public addresses", () => {
  expect(isPublicAddress("93.184.215.14")).toBe(true);
  expect(isPublicAddress("2606:2800:21f:cb07:6820:80da:af6b:8b2c")).toBe(true);
});

test.each([
  [null, { kind: "whole" }],
  ["bytes=0-9", { kind: "part", start: 0, end: 9 }],
  ["bytes=90-", { kind: "part", start: 90, end: 99 }],
  ["bytes=90-500", { kind: "part", start: 90, end: 99 }],
  ["bytes=-10", { kind: "part", start: 90, end: 99 }],
  ["bytes=-500", { kind: "part", start: 0, end: 99 }],
  ["bytes=100-", { kind: "unsatisfiable" }],
  ["bytes=-0", { kind: "unsatisfiable" }],
  ["bytes=9-3", { kind: "whole" }],
  ["bytes=0-1,5-6", { kind: "whole" }],
  ["lines=1-2", { kind: "whole" }],
])("the range %s of 100 bytes is %j", (header, expected) => {
  expect(byteRange(header, 100)).toEqual(expected);
});

test("progress rises through the stages and keeps 100 for the end", () => {
  const seen = [
    progressOf("load", 0, 1),
    progressOf("encode", 1, 1),
    progressOf("denoise", 1, 30),
    progressOf("denoise", 30, 30),
    progressOf("decode", 50, 100),
    progressOf("decode", 100, 100),
    progressOf("upload", 1, 1),
  ];
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  expect(seen[0]).toBeGreaterThanOrEqual(1);
  expect(seen.at(-1)).toBeLessThan(100);
});

const usage = { unit: "credits", reserved: "1", held: "0", charged: "1", released: "0" } as const;
function anEvent(n: number, type: string, id: string, status: string): Event {
  return Event.parse({
    id: `evt_${String(n).padStart(32, "0")}`,
    object: "event",
    type,
    created_at: 1,
    timestamp: "2026-01-01T00:00:00.000Z",
    sequence_number: n,
    data: { id, status, progress: 0, state: "running", error: null, usage },
  });
}

test("a live session sees 100 % just before the completion, and no older progress after it", () => {
  const [done, running] = ["1", "2"].map((fill) => VideoId.parse(`video_${fill.repeat(32)}`));
  if (done === undefined || running === undefined) throw new Error("two ids");
  const shown = (job: VideoId) => ({
    account: AccountId.parse(`acct_${"0".repeat(16)}`),
    job,
    progress: 40,
    stage: "denoise" as const,
  });
  const items = itemsOf(
    [
      anEvent(1, "video.in_progress", running, "in_progress"),
      Event.parse({
        ...anEvent(2, "video.queued", running, "queued"),
        type: "credits.low_balance",
        data: { available: "1", threshold: "25" },
      }),
      anEvent(3, "video.completed", done, "completed"),
    ],
    new Map([
      [done, shown(done)],
      [running, shown(running)],
    ]),
  );
  const told = items.map((item) =>
    item.kind === "progress"
      ? [item.frame.data.id, item.frame.data.progress]
      : item.kind === "event"
        ? [item.event.type]
        : [],
  );
  expect(told).toEqual([
    ["video.in_progress"],
    ["credits.low_balance"],
    [done, 100],
    ["video.completed"],
    [running, 40],
  ]);
});
