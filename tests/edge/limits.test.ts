/** Limits that hold: one account over all its keys and connections, whatever is evicted; and what the answers say of them. */
import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { hashOfKey, mintKey } from "#protocol/api-key.ts";
import { ErrorEnvelope } from "#protocol/error.ts";
import { Limits } from "#protocol/limits.ts";
import { shieldRefusal } from "#edge/ip-shield.ts";
import { TIER } from "./control-plane-stand-in.ts";
import { arrive } from "./customer.ts";
import { video, VIDEO_ID } from "./sample.ts";

const START = 1_800_000_000_000;
const KEYS = 5;
const CONNECTIONS = 50;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: START });
});
afterEach(() => {
  vi.useRealTimers();
});

type Customer = Awaited<ReturnType<typeof arrive>>;

/** As many keys of the one account. */
async function keysOf({ account, controlPlane }: Customer, count: number): Promise<readonly string[]> {
  const keys = Array.from({ length: count }, (_, n) => mintKey("test", account, new Uint8Array(64).fill(n + 1)));
  for (const key of keys) controlPlane.keys.add(await hashOfKey(key));
  return keys;
}

async function passedOf(answers: readonly Response[]): Promise<number> {
  await Promise.all(answers.map((answer) => answer.arrayBuffer()));
  const statuses = new Set(answers.map(({ status }) => status));
  expect([...statuses].filter((status) => status !== 200 && status !== 429)).toEqual([]);
  return answers.filter(({ status }) => status === 200).length;
}

test("50 connections over 5 keys of one account create exactly what its rate allows, and no spelling gets more", async () => {
  const customer = await arrive();
  const { call, controlPlane } = customer;
  controlPlane.limits = { ...TIER, creates_per_minute: 60, creates_burst: 40 };
  const keys = await keysOf(customer, KEYS);
  const spellings = ["Bearer ", "bearer ", "BEARER   ", "Bearer \t"];
  const paths = ["/v1/videos", "/v1/videos?x=1", "/v1/%76ideos", "/v1/videos#a"];
  let waves = 0;
  const wave = () => {
    waves += 1;
    return Promise.all(
      Array.from({ length: CONNECTIONS }, (_, n) =>
        call(paths[n % paths.length] ?? "", {
          method: "POST",
          body: JSON.stringify({ prompt: `${waves} ${n}` }),
          headers: {
            authorization: `${spellings[n % 3] ?? ""}${keys[n % KEYS] ?? ""}`,
            "content-type": "application/json",
            "x-forwarded-for": `10.0.0.${n}`,
            "x-stainless-retry-count": String(n % 3),
          },
        }),
      ),
    );
  };
  expect(await passedOf(await wave())).toBe(40);
  expect(await passedOf(await wave())).toBe(0);
  // One a second comes back.
  for (const seconds of [1, 3, 7]) {
    vi.setSystemTime(Date.now() + seconds * 1_000);
    expect(await passedOf(await wave())).toBe(seconds);
  }
  expect(controlPlane.made.size).toBe(51);
});

test.each(["/v1//videos", "/v1/videos/", "/V1/videos", "/v1/./videos/../videos", "//v1/videos"])(
  "%s is not a way around the rate",
  async (path) => {
    const { call, create, controlPlane } = await arrive();
    controlPlane.limits = { ...TIER, creates_per_minute: 60, creates_burst: 1 };
    expect((await create({ prompt: "a" })).status).toBe(200);
    const headers = { "content-type": "application/json" };
    const answer = await call(path, { method: "POST", headers, body: '{"prompt":"b"}' });
    expect([404, 405, 429]).toContain(answer.status);
    expect(controlPlane.made.size).toBe(1);
  },
);

test("50 connections over 5 keys of one account read exactly what its rate allows", async () => {
  const customer = await arrive();
  const { call, controlPlane } = customer;
  controlPlane.videos.set(VIDEO_ID, video());
  controlPlane.limits = { ...TIER, reads_per_minute: 600, reads_burst: 120 };
  const keys = await keysOf(customer, KEYS);
  const wave = async () => {
    const calls = Array.from({ length: CONNECTIONS * 3 }, (_, n) =>
      call(`/v1/videos/${VIDEO_ID}`, { headers: { authorization: `Bearer ${keys[n % KEYS] ?? ""}` } }),
    );
    return passedOf(await Promise.all(calls));
  };
  expect(await wave()).toBe(120);
  vi.setSystemTime(Date.now() + 2_500);
  expect(await wave()).toBe(25);
});

test.each(["evicted", "aborted"])(
  "an object that is %s over and over gives no read and no create more",
  async (how) => {
    const { call, create, controlPlane, object } = await arrive();
    controlPlane.videos.set(VIDEO_ID, video());
    controlPlane.limits = { ...TIER, reads_per_minute: 60, reads_burst: 50, creates_per_minute: 6, creates_burst: 4 };
    const passed = { reads: await passedOf([await call("/v1/videos")]), creates: 0 };
    for (let round = 0; round < 12; round++) {
      await (how === "evicted" ? evictDurableObject(object) : abortAllDurableObjects());
      const reads = await Promise.all(Array.from({ length: 7 }, () => call(`/v1/videos/${VIDEO_ID}`)));
      passed.reads += await passedOf(reads);
      passed.creates += await passedOf([await create({ prompt: "a" })]);
    }
    expect(passed.creates).toBe(4);
    expect(passed.reads).toBeLessThanOrEqual(50);
    // Each takes at most a tenth of the burst, and all of it comes back.
    expect(passed.reads).toBeGreaterThan(20);
    vi.setSystemTime(Date.now() + 50_000);
    const after = await Promise.all(Array.from({ length: 60 }, () => call(`/v1/videos/${VIDEO_ID}`)));
    expect(await passedOf(after)).toBe(50);
  },
);

test("every answer to a good key says what the tier allows and what is left, as OpenAI does and as the IETF does", async () => {
  const { call, create, controlPlane } = await arrive();
  controlPlane.limits = { ...TIER, creates_per_minute: 30, creates_burst: 20, max_running: 3 };
  const policy = `"create";q=20;w=40, "read";q=200;w=2, "active";q=3;qu="concurrent-requests"`;
  const told = (answer: Response) =>
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "ratelimit"].map(
      (name) => answer.headers.get(name),
    );
  const made = await create({ prompt: "a" });
  expect(made.headers.get("ratelimit-policy")).toBe(policy);
  expect(told(made)).toEqual(["20", "19", "2s", `"create";r=19;t=2, "read";r=200;t=0`]);
  const [read, unknown, gone] = [
    await call("/v1/videos"),
    await call(`/v1/videos/${VIDEO_ID}`),
    await call("/v1/limits"),
  ];
  expect([read.status, unknown.status, gone.status]).toEqual([200, 404, 200]);
  expect(told(read)).toEqual(["200", "199", "10ms", `"create";r=19;t=2, "read";r=199;t=1`]);
  expect(told(unknown)).toEqual(["200", "198", "20ms", `"create";r=19;t=2, "read";r=198;t=1`]);
  expect(unknown.headers.get("ratelimit-policy")).toBe(policy);
  const stranger = await call("/v1/videos", { headers: { authorization: "Bearer cs_nope" } });
  expect(told(stranger)).toEqual([null, null, null, null]);
});

test("a refusal says the same wait everywhere, and after it the call is allowed", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.limits = { ...TIER, reads_per_minute: 20, reads_burst: 2 };
  await call("/v1/videos");
  await call("/v1/videos");
  const refused = await call("/v1/videos");
  const header = (name: string) => refused.headers.get(name);
  expect([refused.status, header("retry-after"), header("retry-after-ms")]).toEqual([429, "3", "3000"]);
  expect(header("ratelimit")).toContain(`"read";r=0;t=3`);
  expect(header("x-should-retry")).toBe("true");
  vi.setSystemTime(START + 2_999);
  expect((await call("/v1/videos")).status).toBe(429);
  vi.setSystemTime(START + 3_000);
  expect((await call("/v1/videos")).status).toBe(200);
});

test("whoever keeps to what the policy says, so many calls in each window, is never refused", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.limits = { ...TIER, reads_per_minute: 420, reads_burst: 7 };
  const policy = (await call("/v1/videos")).headers.get("ratelimit-policy") ?? "";
  const [, q, w] = /"read";q=(\d+);w=(\d+)/.exec(policy)?.map(Number) ?? [];
  for (let window = 0; window < 5; window++) {
    vi.setSystemTime(Date.now() + (w ?? 0) * 1_000);
    const answers = await Promise.all(Array.from({ length: q ?? 0 }, () => call("/v1/videos")));
    expect(await passedOf(answers)).toBe(7);
  }
});

test("creates that make nothing are limited too, in a count of their own", async () => {
  const { call, create, controlPlane } = await arrive();
  controlPlane.limits = { ...TIER, reads_per_minute: 60, reads_burst: 5, creates_burst: 1, creates_per_minute: 60 };
  const statuses: number[] = [];
  for (let n = 0; n < 7; n++) statuses.push((await create({ prompt: "" })).status);
  expect(statuses).toEqual([400, 400, 400, 400, 400, 429, 429]);
  expect((await call("/v1/videos")).status).toBe(200);
  vi.setSystemTime(START + 1_000);
  expect((await create({ prompt: "a" })).status).toBe(200);
});

test("the limits can be asked for: caps of the control plane, rates of the object, this call counted", async () => {
  const { call, create, controlPlane } = await arrive();
  controlPlane.limits = { ...TIER, tier: "plus", creates_per_minute: 30, creates_burst: 20 };
  await create({ prompt: "a" });
  const answer = await call("/v1/limits");
  expect(Limits.parse(await answer.json())).toEqual({
    object: "limits",
    tier: "plus",
    weight: 4,
    ...controlPlane.standing,
    create: { per_minute: 30, burst: 20, remaining: 19, reset_seconds: 2 },
    read: { per_minute: 6_000, burst: 200, remaining: 199, reset_seconds: 1 },
  });
  expect((await call("/v1/limits", { method: "POST" })).headers.get("allow")).toBe("GET");
});

test("models are listed for those with a key", async () => {
  const { call, controlPlane, account } = await arrive();
  expect(await (await call("/v1/models")).json()).toEqual({ object: "list", data: [] });
  expect(controlPlane.calls("GET", "/edge/v1/models")).toMatchObject([{ account }]);
  expect((await call("/v1/models", { headers: { authorization: "" } })).status).toBe(401);
});

/** A call from an address, with any other headers. */
const from = (address: string, headers: Record<string, string> = {}) =>
  new Request("https://edge.test/v1/videos", { headers: { "cf-connecting-ip": address, ...headers } });

test("calls without a key that could be one are slowed by address, and nobody who has a key", async () => {
  const { call } = await arrive();
  const stranger = { authorization: "Bearer sk-nope", "cf-connecting-ip": "192.0.2.7" };
  const answers = await Promise.all(
    Array.from({ length: 70 }, (_, n) => call("/v1/videos", { headers: { ...stranger, "x-forwarded-for": `${n}` } })),
  );
  const codes = await Promise.all(answers.map(async (answer) => ErrorEnvelope.parse(await answer.json()).error.code));
  expect(codes.filter((code) => code === "invalid_api_key")).toHaveLength(60);
  const refused = answers.find(({ status }) => status === 429);
  expect([refused?.headers.get("retry-after"), refused?.headers.get("x-should-retry")]).toEqual(["1", "true"]);
  expect((await call("/v1/videos", { headers: { "cf-connecting-ip": "192.0.2.7" } })).status).toBe(200);
  const elsewhere = { ...stranger, "cf-connecting-ip": "192.0.2.8" };
  expect((await call("/v1/videos", { headers: elsewhere })).status).toBe(401);
});

test("the shield forgets addresses rather than grow, and takes the runtime's word for who calls", async () => {
  for (let n = 0; n < 60; n++) expect(await shieldRefusal(from("198.51.100.1"), undefined, START)).toBeNull();
  expect(await shieldRefusal(from("198.51.100.1"), undefined, START)).toMatchObject({ code: "rate_limit_exceeded" });
  for (let n = 0; n < 10_000; n++) await shieldRefusal(from(`2001:db8::${n.toString(16)}`), undefined, START);
  expect(await shieldRefusal(from("198.51.100.1"), undefined, START)).toBeNull();
  const spoofed = (n: number) => {
    const request = from(`203.0.113.${n}`);
    Object.defineProperty(request, "cf", { value: { clientIp: "127.0.0.1:50412" } });
    return request;
  };
  for (let n = 0; n < 60; n++) expect(await shieldRefusal(spoofed(n), undefined, START)).toBeNull();
  expect(await shieldRefusal(spoofed(61), undefined, START)).not.toBeNull();
});

test("where Cloudflare's counter is bound, it counts", async () => {
  const { TEST_SHIELD } = env as unknown as { readonly TEST_SHIELD: RateLimit };
  const verdicts = [];
  for (let n = 0; n < 5; n++) verdicts.push(await shieldRefusal(from("192.0.2.9"), TEST_SHIELD, START));
  expect(verdicts.map((verdict) => verdict?.retryAfterSeconds ?? null)).toEqual([null, null, null, 10, 10]);
  expect(await shieldRefusal(from("192.0.2.10"), TEST_SHIELD, START)).toBeNull();
});
