import { expect, test } from "vitest";
import { z } from "zod";
import { CreateVideo, METADATA_KEYS_MAX, PROMPT_CHARS_MAX } from "#protocol/create-video.ts";
import { refusalOf, renderRefusal } from "#protocol/error.ts";

const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, "v"]));

test.each([
  ["the least", { prompt: "a" }],
  ["the longest prompt", { prompt: "x".repeat(PROMPT_CHARS_MAX) }],
  ["numbers as text", { prompt: "a", seconds: "8", seed: "0", steps: "20" }],
  ["a resolution with its ratio", { prompt: "a", resolution: "480p", aspect_ratio: "1:1" }],
  ["as many metadata keys as may be", { prompt: "a", metadata: keys(METADATA_KEYS_MAX) }],
  ["a reference", { prompt: "a", input_reference: { media_type: "image/png", data: "AAAA" } }],
])("%s is accepted", (_what, body) => {
  expect(CreateVideo.safeParse(body).success).toBe(true);
});

test("seconds mean the same as text and as a number", () => {
  const read = (seconds: unknown) => CreateVideo.parse({ prompt: "a", seconds }).seconds;
  expect([read("8"), read(8)]).toEqual([8, 8]);
});

test.each([
  [{ prompt: "" }, "invalid_value", "prompt"],
  [{ prompt: "x".repeat(PROMPT_CHARS_MAX + 1) }, "invalid_value", "prompt"],
  [{ prompt: null }, "invalid_value", "prompt"],
  [{ prompt: "a", seconds: "abc" }, "invalid_value", "seconds"],
  [{ prompt: "a", seconds: "1e1" }, "invalid_value", "seconds"],
  [{ prompt: "a", seconds: 0 }, "invalid_value", "seconds"],
  [{ prompt: "a", seconds: 601 }, "invalid_value", "seconds"],
  [{ prompt: "a", seed: 2 ** 32 }, "invalid_value", "seed"],
  [{ prompt: "a", size: "1280X720" }, "invalid_value", "size"],
  [{ prompt: "a", resolution: "4k" }, "invalid_value", "resolution"],
  [{ prompt: "a", size: "320x192", resolution: "480p" }, "invalid_value", "resolution"],
  [{ prompt: "a", aspect_ratio: "16:9" }, "invalid_value", "aspect_ratio"],
  [{ prompt: "a", metadata: keys(METADATA_KEYS_MAX + 1) }, "invalid_value", "metadata"],
  [{ prompt: "a", metadata: { k: "x".repeat(513) } }, "invalid_value", "metadata.k"],
  [
    { prompt: "a", input_reference: { media_type: "image/gif", data: "AAAA" } },
    "invalid_value",
    "input_reference.media_type",
  ],
  [
    { prompt: "a", input_reference: { media_type: "image/png", data: "AAAA", x: 1 } },
    "unknown_parameter",
    "input_reference.x",
  ],
  [{ prompt: "a", n: 2 }, "unknown_parameter", "n"],
  ["a", "invalid_body", undefined],
])("%j is refused as %s by the name %s", (body, code, param) => {
  const read = CreateVideo.safeParse(body);
  expect(read.success).toBe(false);
  const refusal = refusalOf(read.error ?? new z.ZodError([]));
  expect([refusal.code, refusal.param]).toEqual([code, param]);
  expect(refusal.message).toContain(param === undefined ? "not valid" : `'${param}'`);
});

test("a refusal becomes the envelope, with its numbers and a Retry-After of at most a minute", async () => {
  const refusal = { code: "queue_full", message: "full", numbers: { limit: 20 }, retryAfterSeconds: 900 } as const;
  const answer = renderRefusal(refusal, "req_1");
  expect([answer.status, answer.headers.get("retry-after"), answer.headers.get("x-should-retry")]).toEqual([
    429,
    "60",
    "false",
  ]);
  expect(answer.headers.get("x-request-id")).toBe("req_1");
  const error = { message: "full", type: "rate_limit_error", param: null, code: "queue_full", limit: 20 };
  expect(await answer.json()).toEqual({ error });
});
