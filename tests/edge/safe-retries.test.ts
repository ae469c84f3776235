/** Creates that are tried again: what the SDKs do as they are, and what an `Idempotency-Key` says. */
import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { afterEach, expect, test, vi } from "vitest";
import { SubmitVideo } from "#protocol/edge-call.ts";
import { ErrorEnvelope } from "#protocol/error.ts";
import { DOUBT_MS } from "#edge/core/breaker.ts";
import { IN_FLIGHT_MS, SLOT_MS } from "#edge/core/create-slots.ts";
import { hashOfKey, mintKey } from "#protocol/api-key.ts";
import { Video } from "#protocol/video.ts";
import { TIER } from "./control-plane-stand-in.ts";
import { arrive } from "./customer.ts";
import { hasten } from "./hasten.ts";

const FOX = { prompt: "a red fox", seconds: "4" } as const;

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

type Customer = Awaited<ReturnType<typeof arrive>>;

/** As the SDK sends it: a form with a boundary of its own each time, and the number of the try. */
function sdkCreate({ call }: Customer, retries: number, fields: Record<string, string> = FOX, key?: string) {
  const body = new FormData();
  for (const [name, value] of Object.entries(fields)) body.append(name, value);
  const authorization = key === undefined ? {} : { authorization: `Bearer ${key}` };
  return call("/v1/videos", {
    method: "POST",
    body,
    headers: { ...authorization, "x-stainless-retry-count": String(retries) },
  });
}

function keyedCreate({ call }: Customer, key: string, body: object = FOX) {
  const headers = { "content-type": "application/json", "idempotency-key": key };
  return call("/v1/videos", { method: "POST", headers, body: JSON.stringify(body) });
}

async function videoOf(answer: Response): Promise<string> {
  const body: unknown = await answer.json();
  if (!answer.ok) throw new Error(JSON.stringify(body));
  return Video.parse(body).id;
}

async function codeOf(answer: Response): Promise<readonly [number, string | null]> {
  return [answer.status, ErrorEnvelope.parse(await answer.json()).error.code];
}

/** Creates are held at the control plane until they are let go. Looked at again and again: workerd lets no call wake another. */
function hold({ controlPlane }: Customer) {
  const [arrived, isArrived] = [{ yet: false }, () => arrived.yet];
  const [released, isReleased] = [{ yet: false }, () => released.yet];
  controlPlane.beforeCreate = () => {
    arrived.yet = true;
    return vi.waitUntil(isReleased, 10_000);
  };
  return { arrived: () => vi.waitUntil(isArrived, 10_000), release: () => (released.yet = true) };
}

test("a retry of a lost answer is answered with the video that was made, and says so", async () => {
  const customer = await arrive();
  const first = await sdkCreate(customer, 0);
  expect(first.headers.get("idempotency-replayed")).toBeNull();
  const made = await videoOf(first);
  const again = await sdkCreate(customer, 1);
  expect(again.headers.get("idempotency-replayed")).toBe("true");
  expect(await videoOf(again)).toBe(made);
  expect(await videoOf(await sdkCreate(customer, 2))).toBe(made);
  expect(customer.controlPlane.made.size).toBe(1);
});

test("two identical creates that are meant make two videos, and their retries get one each", async () => {
  const customer = await arrive();
  const made = [await videoOf(await sdkCreate(customer, 0)), await videoOf(await sdkCreate(customer, 0))];
  expect(new Set(made).size).toBe(2);
  const again = [await videoOf(await sdkCreate(customer, 1)), await videoOf(await sdkCreate(customer, 1))];
  expect(again.toSorted()).toEqual(made.toSorted());
});

test("a form and JSON that say the same are the same; another field, value or key is another create", async () => {
  const customer = await arrive();
  const made = await videoOf(await sdkCreate(customer, 0, { prompt: "a red fox", seconds: "4", "metadata[a]": "b" }));
  const body = JSON.stringify({ metadata: { a: "b" }, seconds: 4, prompt: "a red fox" });
  const headers = { "content-type": "application/json", "x-stainless-retry-count": "1" };
  expect(await videoOf(await customer.call("/v1/videos", { method: "POST", headers, body }))).toBe(made);
  const second = mintKey("test", customer.account, new Uint8Array(64).fill(7));
  customer.controlPlane.keys.add(await hashOfKey(second));
  const others = [
    await sdkCreate(customer, 1, { prompt: "a red fox", seconds: "8", "metadata[a]": "b" }),
    await sdkCreate(customer, 1, { prompt: "a red fox", seconds: "4" }),
    await sdkCreate(customer, 1, { prompt: "a red fox", seconds: "4", "metadata[a]": "b" }, second),
  ];
  const ids = await Promise.all(others.map(videoOf));
  expect(new Set([made, ...ids]).size).toBe(4);
});

test("the same picture is the same create, another one is not", async () => {
  const customer = await arrive();
  const create = async (retries: number, last: number) => {
    const body = new FormData();
    body.append("prompt", "a");
    const png = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, last]);
    body.append("input_reference", new File([png], `${retries}.png`));
    const headers = { "x-stainless-retry-count": String(retries) };
    return videoOf(await customer.call("/v1/videos", { method: "POST", body, headers }));
  };
  const made = await create(0, 1);
  expect(await create(1, 1)).toBe(made);
  expect(await create(1, 2)).not.toBe(made);
});

test("a retry of a try that never arrived makes the video", async () => {
  const customer = await arrive();
  const made = await videoOf(await sdkCreate(customer, 1));
  expect(await videoOf(await sdkCreate(customer, 2))).toBe(made);
  expect(customer.controlPlane.made.size).toBe(1);
});

test("while the first try is under way a retry is told to ask again, and then gets its video", async () => {
  const customer = await arrive();
  const held = hold(customer);
  const first = sdkCreate(customer, 0);
  await held.arrived();
  const refused = await sdkCreate(customer, 1);
  expect(refused.headers.get("retry-after")).toBe("1");
  expect(refused.headers.get("x-should-retry")).toBe("true");
  expect(await codeOf(refused)).toEqual([409, "idempotency_in_flight"]);
  held.release();
  const made = await videoOf(await first);
  expect(await videoOf(await sdkCreate(customer, 2))).toBe(made);
  expect(customer.controlPlane.made.size).toBe(1);
});

test.each([
  [
    ["A", "B"],
    ["A", "B"],
  ],
  [
    ["A", "B"],
    ["B", "A"],
  ],
  [
    ["B", "A"],
    ["A", "B"],
  ],
  [
    ["B", "A"],
    ["B", "A"],
  ],
] as const)(
  "A is made and its answer lost, B like it is refused by the rate (first %j, retries %j): two videos, one each",
  async (firsts, retries) => {
    vi.useFakeTimers({ toFake: ["Date"], now: 1_800_000_000_000 });
    const customer = await arrive();
    const { controlPlane } = customer;
    const tries = {
      A: async () => {
        controlPlane.limits = TIER;
        return videoOf(await sdkCreate(customer, 0));
      },
      B: async () => {
        // A smaller tier, and its one create used up.
        controlPlane.limits = { ...TIER, creates_per_minute: 6, creates_burst: 1 };
        vi.setSystemTime(Date.now() + 4_000);
        await customer.create({ prompt: "another" });
        expect(await codeOf(await sdkCreate(customer, 0))).toEqual([429, "rate_limit_exceeded"]);
      },
    };
    for (const which of firsts) {
      await tries[which]();
      vi.setSystemTime(Date.now() + 15_000);
    }
    const before = controlPlane.made.size;
    controlPlane.limits = TIER;
    vi.setSystemTime(Date.now() + 15_000);
    const given = new Map<string, string>();
    for (const which of retries) given.set(which, await videoOf(await sdkCreate(customer, 1)));
    expect(new Set(given.values()).size).toBe(2);
    expect(controlPlane.made.size).toBe(before + 1);
  },
);

test("what was made is remembered through an eviction and a crash of the object", async () => {
  const customer = await arrive();
  const made = await videoOf(await sdkCreate(customer, 0));
  await evictDurableObject(customer.object);
  expect(await videoOf(await sdkCreate(customer, 1))).toBe(made);
  await abortAllDurableObjects();
  expect(await videoOf(await sdkCreate(customer, 2))).toBe(made);
  expect(customer.controlPlane.made.size).toBe(1);
});

test("a create that a crash left pending is sent again under its own create key", async () => {
  const customer = await arrive();
  const held = hold(customer);
  const first = sdkCreate(customer, 0);
  await held.arrived();
  await abortAllDurableObjects();
  customer.controlPlane.beforeCreate = async () => {};
  const resumed = await videoOf(await sdkCreate(customer, 1));
  held.release();
  expect(await videoOf(await first)).toBe(resumed);
  const sent = customer.controlPlane
    .calls("POST", "/edge/v1/videos")
    .map(({ body }) => SubmitVideo.parse(body).create_key);
  expect([sent.length, new Set(sent).size]).toEqual([2, 1]);
  // Both said how it ended, in whatever order: it is made, and stays so.
  expect(await videoOf(await sdkCreate(customer, 2))).toBe(resumed);
  expect(customer.controlPlane.made.size).toBe(1);
});

test("a sender that went silent is not waited for longer than a call can last", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: 1_800_000_000_000 });
  const customer = await arrive();
  const held = hold(customer);
  const first = sdkCreate(customer, 0);
  await held.arrived();
  customer.controlPlane.beforeCreate = async () => {};
  vi.setSystemTime(Date.now() + IN_FLIGHT_MS);
  const resumed = await videoOf(await sdkCreate(customer, 1));
  held.release();
  expect(await videoOf(await first)).toBe(resumed);
});

test("a create that had no answer of the control plane is tried again under the same create key", async () => {
  vi.spyOn(console, "warn").mockReturnValue();
  hasten();
  const customer = await arrive();
  const { controlPlane } = customer;
  controlPlane.outage = (_host, path) => (path === "/edge/v1/videos" ? "busy" : "none");
  expect(await codeOf(await sdkCreate(customer, 0))).toEqual([503, "control_plane_unavailable"]);
  controlPlane.outage = () => "none";
  // By then the edge asks the control plane again whether it is back.
  vi.setSystemTime(Date.now() + DOUBT_MS);
  await videoOf(await sdkCreate(customer, 1));
  const sent = controlPlane.calls("POST", "/edge/v1/videos").map(({ body }) => SubmitVideo.parse(body).create_key);
  expect(new Set(sent).size).toBe(1);
});

test("what was refused for good is not gone on with: the next create, lost, still makes one video", async () => {
  const customer = await arrive();
  const { controlPlane } = customer;
  controlPlane.refusal = { code: "insufficient_credits", message: "no credits" };
  expect(await codeOf(await sdkCreate(customer, 0))).toEqual([402, "insufficient_credits"]);
  controlPlane.refusal = null;
  const made = await videoOf(await sdkCreate(customer, 0));
  expect(await videoOf(await sdkCreate(customer, 1))).toBe(made);
  expect(controlPlane.made.size).toBe(1);
});

test("a slot outlives the ten minutes after which an SDK gives a silent answer up, and not much more", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: 1_800_000_000_000 });
  const customer = await arrive();
  const made = await videoOf(await sdkCreate(customer, 0));
  vi.setSystemTime(Date.now() + 10 * 60_000 + 8_000);
  expect(await videoOf(await sdkCreate(customer, 1))).toBe(made);
  vi.setSystemTime(Date.now() + SLOT_MS);
  expect(await videoOf(await sdkCreate(customer, 2))).not.toBe(made);
});

test("a replay is not charged to the rate of creates, and one that counts no tries is always meant", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: 1_800_000_000_000 });
  const customer = await arrive();
  customer.controlPlane.limits = { ...TIER, creates_per_minute: 1, creates_burst: 3 };
  await videoOf(await sdkCreate(customer, 0));
  for (let retry = 1; retry < 6; retry++) expect((await sdkCreate(customer, retry)).status).toBe(200);
  await customer.create(FOX);
  await customer.create(FOX);
  expect(customer.controlPlane.made.size).toBe(3);
  expect((await customer.create(FOX)).status).toBe(429);
});

test("a body that is not small is refused by its headers once the rate is used up", async () => {
  vi.useFakeTimers({ toFake: ["Date"], now: 1_800_000_000_000 });
  const customer = await arrive();
  customer.controlPlane.limits = { ...TIER, creates_per_minute: 30, creates_burst: 1 };
  await customer.create(FOX);
  const refused = await customer.create({ prompt: "x".repeat(300_000) });
  expect(refused.headers.get("retry-after")).toBe("2");
  expect(await codeOf(refused)).toEqual([429, "rate_limit_exceeded"]);
});

test("a key makes one video: one after the other, at once, and after the object lost everything it knew", async () => {
  const customer = await arrive();
  const first = await keyedCreate(customer, "order-17");
  expect(first.headers.get("idempotency-replayed")).toBeNull();
  const made = await videoOf(first);
  const again = await keyedCreate(customer, "order-17");
  expect(again.headers.get("idempotency-replayed")).toBe("true");
  expect(await videoOf(again)).toBe(made);
  await abortAllDurableObjects();
  expect(await videoOf(await keyedCreate(customer, "order-17"))).toBe(made);
  expect(await videoOf(await keyedCreate(customer, "order-18"))).not.toBe(made);
});

test("a key with other fields is a 422 that the SDKs do not retry, and one under way a 409 that they do", async () => {
  const customer = await arrive();
  await videoOf(await keyedCreate(customer, "order-17"));
  const reused = await keyedCreate(customer, "order-17", { prompt: "a bear" });
  expect(reused.headers.get("x-should-retry")).toBe("false");
  expect(await codeOf(reused)).toEqual([422, "idempotency_key_reuse"]);
  const held = hold(customer);
  const slow = keyedCreate(customer, "order-18");
  await held.arrived();
  const inFlight = await keyedCreate(customer, "order-18");
  expect([inFlight.headers.get("retry-after"), inFlight.headers.get("x-should-retry")]).toEqual(["1", "true"]);
  expect(await codeOf(inFlight)).toEqual([409, "idempotency_in_flight"]);
  held.release();
  const made = await videoOf(await slow);
  expect(await videoOf(await keyedCreate(customer, "order-18"))).toBe(made);
});

test("only a create that was accepted claims its key", async () => {
  const customer = await arrive();
  customer.controlPlane.refusal = { code: "insufficient_credits", message: "no credits" };
  expect((await keyedCreate(customer, "order-17")).status).toBe(402);
  customer.controlPlane.refusal = null;
  expect((await keyedCreate(customer, "order-17", { prompt: "a bear" })).status).toBe(200);
});

test.each([
  ["of 256 characters", "k".repeat(256)],
  ["with a blank", "a b"],
  ["of nothing", ""],
  ["with a letter that is none of ASCII", "schl\u00fcssel"],
])("a key %s is refused by name", async (_what, key) => {
  const customer = await arrive();
  const answer = await keyedCreate(customer, key);
  const { error } = ErrorEnvelope.parse(await answer.json());
  expect([answer.status, error.code, error.param]).toEqual([400, "invalid_value", "idempotency-key"]);
  expect(customer.controlPlane.calls("POST", "/edge/v1/videos")).toEqual([]);
});

test("a key of 255 characters is taken, and counts more than the number of a try", async () => {
  const customer = await arrive();
  const create = async (key: string, retries: number) => {
    const headers = {
      "content-type": "application/json",
      "idempotency-key": key.repeat(255),
      "x-stainless-retry-count": String(retries),
    };
    return videoOf(await customer.call("/v1/videos", { method: "POST", headers, body: JSON.stringify(FOX) }));
  };
  const made = await create("a", 0);
  expect(await create("a", 0)).toBe(made);
  expect(await create("b", 1)).not.toBe(made);
});
