/** Calls of the edge, as the real control plane takes them: each mutation once, from a holder of the secret, at the right time. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RequestId } from "#protocol/id.ts";
import type { AccountId } from "#protocol/id.ts";
import { SIGNATURE_WINDOW_MS, signCall } from "#protocol/signed-call.ts";
import { ControlPlane } from "#tests/support/control-plane.ts";
import { aCreateKey, Studio, TINY } from "#tests/support/studio.ts";

const [NEXT, OLD] = ["the-next-secret-of-the-edge", "the-old-secret-of-the-edge"];

let studio: Studio;
let plane: ControlPlane;
let account: AccountId;
beforeAll(async () => {
  studio = await Studio.open();
  plane = await ControlPlane.start(studio.url, { CALLSHEET_EDGE_SECRET: `${NEXT},${OLD}` });
  account = await studio.account("pro", { amount: "10000" });
});
afterAll(async () => {
  await plane.stop();
  await studio.close();
});

interface Sent {
  readonly status: number;
  readonly body: { readonly error?: { readonly code: string; readonly server_time_ms?: number } };
}

/** Signs a call once, and sends it as often as asked. */
async function signedCall(method: string, path: string, body?: object, secret = NEXT, nowMs = Date.now()) {
  const url = new URL(`/edge/v1${path}`, plane.url);
  const bytes = new TextEncoder().encode(body === undefined ? "" : JSON.stringify(body));
  const requestId = RequestId.parse(`req_${randomBytes(16).toString("hex")}`);
  const headers = await signCall({ method, url, body: bytes, account, requestId }, secret, nowMs);
  return async (): Promise<Sent> => {
    const response = await fetch(url, { method, headers, ...(bytes.length === 0 ? {} : { body: bytes }) });
    return { status: response.status, body: (await response.json()) as Sent["body"] };
  };
}

const submit = () => ({ create_key: aCreateKey(), video: { ...TINY, prompt: "!idle=500 a lake" } });

async function aVideo(): Promise<string> {
  const { body } = await (await signedCall("POST", "/videos", submit()))();
  return (body as { id: string }).id;
}

async function anEndpoint(): Promise<string> {
  const call = await signedCall("POST", "/webhook_endpoints", {
    url: `https://example.com/${randomBytes(4).toString("hex")}`,
  });
  return ((await call()).body as { id: string }).id;
}

const MUTATIONS: readonly (readonly [string, () => Promise<readonly [string, string, object?]>])[] = [
  ["a submit", async () => ["POST", "/videos", submit()]],
  ["a cancel", async () => ["POST", `/videos/${await aVideo()}/cancel`]],
  ["a delete", async () => ["DELETE", `/videos/${await aVideo()}`]],
  ["a subscription", async () => ["PUT", "/subscription", { live: false }]],
  ["a new endpoint", async () => ["POST", "/webhook_endpoints", { url: "https://example.com/hook" }]],
  ["a change of an endpoint", async () => ["PATCH", `/webhook_endpoints/${await anEndpoint()}`, { enabled: false }]],
  ["a rotation", async () => ["POST", `/webhook_endpoints/${await anEndpoint()}/rotate_secret`, {}]],
  ["an end of an endpoint", async () => ["DELETE", `/webhook_endpoints/${await anEndpoint()}`]],
];

test.each(MUTATIONS)("%s that is sent again, to the letter, is refused", async (_what, make) => {
  const [method, path, body] = await make();
  const send = await signedCall(method, path, body);
  expect((await send()).status).toBe(200);
  expect(await send()).toMatchObject({
    status: 400,
    body: { error: { code: "invalid_value", param: "x-request-id" } },
  });
});

test("of a mutation that is sent ten times at once one counts", async () => {
  const send = await signedCall("POST", "/videos", submit());
  const answers = await Promise.all(Array.from({ length: 10 }, send));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
});

test("what only reads may be sent again", async () => {
  for (const [method, path, body] of [
    ["GET", "/videos"],
    ["POST", "/videos/estimate", { video: TINY }],
    ["POST", "/keys/check", { key_sha256: "a".repeat(64) }],
  ] as const) {
    const send = await signedCall(method, path, body);
    expect((await send()).status).toBe((await send()).status);
  }
});

test("both secrets are good while they are rotated, any other is not", async () => {
  for (const secret of [NEXT, OLD])
    expect((await (await signedCall("GET", "/videos", undefined, secret))()).status).toBe(200);
  expect(await (await signedCall("GET", "/videos", undefined, "another-secret-of-an-edge"))()).toMatchObject({
    status: 401,
    body: { error: { code: "invalid_api_key" } },
  });
});

test.each([SIGNATURE_WINDOW_MS + 5_000, -SIGNATURE_WINDOW_MS - 5_000])(
  "an edge whose clock is %i ms wrong is told so, and what time it is",
  async (offMs) => {
    const before = Date.now();
    const { status, body } = await (await signedCall("GET", "/videos", undefined, NEXT, before + offMs))();
    expect([status, body.error?.code]).toEqual([401, "clock_skew"]);
    expect(body.error?.server_time_ms).toBeGreaterThanOrEqual(before);
    expect(body.error?.server_time_ms).toBeLessThanOrEqual(Date.now());
  },
);
