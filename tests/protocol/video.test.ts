import * as fc from "fast-check";
import { expect, test } from "vitest";
import { Push } from "#protocol/edge-call.ts";
import { EventType } from "#protocol/event.ts";
import { SubscribeFrame } from "#protocol/live-session.ts";
import { ceilDiv, CreditsText, creditsText } from "#protocol/unit.ts";
import { JobState, ListQuery, STATUS_OF, Video, VideoStatus } from "#protocol/video.ts";
import { WEBHOOK_DEFAULT_EVENTS } from "#protocol/webhook.ts";

test("a video has OpenAI's thirteen fields", () => {
  const fields =
    "id object model status progress created_at completed_at expires_at prompt size seconds remixed_from_video_id error";
  expect(Object.keys(Video.shape)).toEqual(expect.arrayContaining(fields.split(" ")));
  expect(VideoStatus.options).toEqual(["queued", "in_progress", "completed", "failed"]);
});

test("every job state is one of the four statuses, and a cancelled video is a failed one", () => {
  expect(Object.keys(STATUS_OF)).toEqual(JobState.options);
  expect(STATUS_OF.cancelled).toBe("failed");
});

test("webhooks are sent for the end of a video unless asked otherwise", () => {
  expect(WEBHOOK_DEFAULT_EVENTS).toEqual(["video.completed", "video.failed"]);
  expect(EventType.options).toEqual(expect.arrayContaining([...WEBHOOK_DEFAULT_EVENTS]));
});

test("a list is asked for with text", () => {
  expect(ListQuery.parse({ limit: "5" })).toEqual({ limit: 5, order: "desc" });
  expect(ListQuery.safeParse({ limit: "101" }).success).toBe(false);
  expect(ListQuery.safeParse({ limit: "x" }).success).toBe(false);
});

test("frames of another kind are none", () => {
  expect(SubscribeFrame.safeParse({ type: "subscribe", starting_after: -1 }).success).toBe(false);
  expect(Push.safeParse({ items: [{ kind: "gossip" }] }).success).toBe(false);
});

test.each([
  [0n, "0"],
  [1n, "0.001"],
  [1_250n, "1.25"],
  [-1_250n, "-1.25"],
  [12_000n, "12"],
  [-1n, "-0.001"],
])("%s thousandths read as %s credits", (amount, text) => {
  expect(creditsText(amount)).toBe(text);
});

test("an amount's text is well-formed and loses nothing", () => {
  fc.assert(
    fc.property(fc.bigInt({ min: -(10n ** 18n), max: 10n ** 18n }), (amount) => {
      const text = CreditsText.parse(creditsText(amount));
      const [whole = "", fraction = ""] = text.replace("-", "").split(".");
      const back = BigInt(whole) * 1000n + BigInt(fraction.padEnd(3, "0"));
      expect(text.startsWith("-") ? -back : back).toBe(amount);
    }),
  );
});

test("ceilDiv rounds up and refuses what it cannot mean", () => {
  expect([ceilDiv(10n, 5n), ceilDiv(11n, 5n), ceilDiv(0n, 5n)]).toEqual([2n, 3n, 0n]);
  expect(() => ceilDiv(1n, 0n)).toThrow("positive divisor");
  expect(() => ceilDiv(-1n, 2n)).toThrow("non-negative dividend");
});
