/** Calls that are lent to a busy isolate: within the rate, and none once the key is revoked. */
import { afterEach, expect, test, vi } from "vitest";
import { LEND_MS } from "#edge/core/lend.ts";
import { TIER } from "./control-plane-stand-in.ts";
import { arrive } from "./customer.ts";
import { newCustomer } from "./sample.ts";

const START = 1_800_000_000_000;

afterEach(() => {
  vi.useRealTimers();
});

test("a busy key passes within its rate, is told how it stands, and is cut off a moment after it was revoked", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: START });
  const { call, controlPlane, hash, push } = await arrive();
  controlPlane.limits = { ...TIER, reads_per_minute: 1_200, reads_burst: 60 };
  let [passed, refused] = [0, 0];
  for (let ms = 0; ms < 1_000; ms += 10) {
    vi.setSystemTime(START + ms);
    const answer = await call("/v1/videos/nope");
    if (answer.status === 429) refused += 1;
    else passed += 1;
    const left = Number(answer.headers.get("x-ratelimit-remaining-requests"));
    // Never more than if each call had been charged alone: 60 at once, one more every 50 ms, less what has passed.
    const alone = Math.floor(Math.min(60, 60 + ms / 50 - passed));
    expect(left).toBeLessThanOrEqual(alone + 1);
    expect(left).toBeGreaterThanOrEqual(alone - 6);
  }
  expect(passed).toBeGreaterThan(72);
  expect(passed).toBeLessThanOrEqual(80);
  expect(refused).toBe(100 - passed);
  for (let n = 0; n < 40; n++) {
    vi.setSystemTime(START + 10_000 + n * 10);
    await call("/v1/videos/nope");
  }
  controlPlane.keys.delete(hash);
  await push([{ kind: "key_revoked", key_sha256: hash }]);
  vi.setSystemTime(Date.now() + LEND_MS);
  expect((await call("/v1/videos/nope")).status).toBe(401);
});

test("one key's lent calls are not another's", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: START });
  const { call, controlPlane } = await arrive();
  for (let n = 0; n < 40; n++) {
    vi.setSystemTime(START + n * 10);
    expect((await call("/v1/videos/nope")).status).toBe(404);
  }
  const stranger = await newCustomer();
  expect((await call("/v1/videos/nope", { headers: { authorization: `Bearer ${stranger.key}` } })).status).toBe(401);
  expect(controlPlane.calls("POST", "/edge/v1/keys/check")).toHaveLength(2);
});
