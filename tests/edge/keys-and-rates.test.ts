import { evictDurableObject } from "cloudflare:test";
import { afterEach, expect, test, vi } from "vitest";
import { ErrorEnvelope } from "#protocol/error.ts";
import { TIER } from "./control-plane-stand-in.ts";
import { arrive } from "./customer.ts";
import { newCustomer, video, VIDEO_ID } from "./sample.ts";

afterEach(() => {
  vi.useRealTimers();
});

async function codeOf(answer: Response): Promise<string | null> {
  return ErrorEnvelope.parse(await answer.json()).error.code;
}

test.each([
  ["no key", ""],
  ["another scheme", "Basic abc"],
  ["a key of another service", "Bearer sk-123"],
])("%s is a 401 without asking the control plane", async (_what, authorization) => {
  const { call, controlPlane } = await arrive();
  const answer = await call("/v1/videos", { headers: { authorization } });
  expect([answer.status, await codeOf(answer)]).toEqual([401, "invalid_api_key"]);
  expect(controlPlane.received).toEqual([]);
});

test("a key with one wrong letter is a 401 without asking the control plane", async () => {
  const { call, key, controlPlane } = await arrive();
  const typo = key.slice(0, 30) + (key[30] === "A" ? "B" : "A") + key.slice(31);
  const answer = await call("/v1/videos", { headers: { authorization: `Bearer ${typo}` } });
  expect(answer.status).toBe(401);
  expect(controlPlane.received).toEqual([]);
});

test("a well-formed key that nobody was given is a 401", async () => {
  const { call, controlPlane } = await arrive();
  const stranger = await newCustomer();
  const answer = await call("/v1/videos", { headers: { authorization: `Bearer ${stranger.key}` } });
  expect([answer.status, await codeOf(answer)]).toEqual([401, "invalid_api_key"]);
  expect(controlPlane.received.map((call) => call.path)).toEqual(["/edge/v1/keys/check"]);
});

test("a key is checked once for calls that arrive together, and again within 4 s", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const { call, controlPlane } = await arrive();
  const checks = () => controlPlane.calls("POST", "/edge/v1/keys/check").length;
  await Promise.all([call("/v1/videos"), call("/v1/videos"), call("/v1/videos")]);
  vi.setSystemTime(Date.now() + 3_700);
  await call("/v1/videos");
  expect(checks()).toBe(1);
  vi.setSystemTime(Date.now() + 300);
  await call("/v1/videos");
  expect(checks()).toBe(2);
});

test("a key that was refused works a second after it was made", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const { call, controlPlane, hash } = await arrive();
  controlPlane.keys.delete(hash);
  expect((await call("/v1/videos")).status).toBe(401);
  controlPlane.keys.add(hash);
  vi.setSystemTime(Date.now() + 1_000);
  expect((await call("/v1/videos")).status).toBe(200);
});

test("a revoked key is refused at once and its live sessions are closed", async () => {
  const { call, controlPlane, hash, push, listen } = await arrive();
  const session = await listen();
  expect((await call("/v1/videos")).status).toBe(200);
  controlPlane.keys.delete(hash);
  await push([{ kind: "key_revoked", key_sha256: hash }]);
  expect((await call("/v1/videos")).status).toBe(401);
  expect((await session.closed).code).toBe(4001);
});

test("the burst is allowed, then a 429 names the exact wait, and after it the next create passes", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: 1_800_000_000_000 });
  const { create, controlPlane } = await arrive();
  controlPlane.limits = { ...TIER, creates_per_minute: 30, creates_burst: 2 };
  const first = await create({ prompt: "a" });
  expect(first.headers.get("x-ratelimit-limit-requests")).toBe("2");
  expect(first.headers.get("x-ratelimit-remaining-requests")).toBe("1");
  expect(first.headers.get("x-ratelimit-reset-requests")).toBe("2s");
  expect((await create({ prompt: "a" })).status).toBe(200);
  const refused = await create({ prompt: "a" });
  expect([refused.status, await codeOf(refused)]).toEqual([429, "rate_limit_exceeded"]);
  expect(refused.headers.get("retry-after")).toBe("2");
  expect(refused.headers.get("retry-after-ms")).toBe("2000");
  expect(refused.headers.get("x-should-retry")).toBe("true");
  vi.setSystemTime(1_800_000_001_999);
  expect((await create({ prompt: "a" })).status).toBe(429);
  vi.setSystemTime(1_800_000_002_000);
  expect((await create({ prompt: "a" })).status).toBe(200);
});

test("an eviction does not refill the rate", async () => {
  const { create, controlPlane, object } = await arrive();
  controlPlane.limits = { ...TIER, creates_per_minute: 1, creates_burst: 1 };
  expect((await create({ prompt: "a" })).status).toBe(200);
  await evictDurableObject(object);
  expect((await create({ prompt: "a" })).status).toBe(429);
});

test("an eviction costs an account at most a tenth of its burst, and gives it nothing", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const { create, controlPlane, object } = await arrive();
  controlPlane.limits = { ...TIER, tier: "plus", creates_per_minute: 1, creates_burst: 40 };
  let passed = 0;
  for (let n = 0; n < 60; n++) {
    if (n === 22) await evictDurableObject(object);
    if ((await create({ prompt: "a" })).status === 200) passed++;
  }
  expect(passed).toBeGreaterThanOrEqual(36);
  expect(passed).toBeLessThanOrEqual(40);
});

test("a burst of reads beyond 200 is refused, and creates are not charged for it", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const { call, create, controlPlane } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video());
  const answers = await Promise.all(Array.from({ length: 205 }, () => call(`/v1/videos/${VIDEO_ID}`)));
  expect(answers.filter((answer) => answer.status === 429)).toHaveLength(5);
  expect(answers.filter((answer) => answer.status === 200)).toHaveLength(200);
  expect((await create({ prompt: "a" })).status).toBe(200);
});
