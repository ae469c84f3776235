/** The edge's part of webhooks: who may call, strict bodies that name the bad field, and what is sent on. */
import { expect, test } from "vitest";
import { ErrorEnvelope } from "#protocol/error.ts";
import { arrive } from "./customer.ts";

const ENDPOINT = `we_${"0".repeat(31)}1`;
const DELIVERY = `msg_${"0".repeat(31)}1`;
const ROOT = "/v1/webhook_endpoints";

const json = (method: string, body: unknown) => ({
  method,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

async function refusal(answer: Response) {
  return { status: answer.status, ...ErrorEnvelope.parse(await answer.json()).error };
}

test.each([
  ["POST", ROOT, { url: "ftp://a.test/" }, "invalid_value", "url"],
  ["POST", ROOT, { url: "https://user:secret@a.test/" }, "invalid_value", "url"],
  ["POST", ROOT, { url: "https://a.test/", events: ["video.done"] }, "invalid_value", "events.0"],
  ["POST", ROOT, { url: "https://a.test/", events: [] }, "invalid_value", "events"],
  ["POST", ROOT, { url: "https://a.test/", secret: "mine" }, "unknown_parameter", "secret"],
  ["PATCH", `${ROOT}/${ENDPOINT}`, { enabled: "yes" }, "invalid_value", "enabled"],
  ["PATCH", `${ROOT}/${ENDPOINT}`, { failures: 0 }, "unknown_parameter", "failures"],
  ["POST", `${ROOT}/${ENDPOINT}/rotate_secret`, { overlap_seconds: -1 }, "invalid_value", "overlap_seconds"],
  ["POST", `${ROOT}/${ENDPOINT}/rotate_secret`, { overlap: 1 }, "unknown_parameter", "overlap"],
  ["POST", `${ROOT}/${ENDPOINT}/replay`, {}, "invalid_value", "starting_after"],
  ["POST", `${ROOT}/${ENDPOINT}/replay`, { starting_after: 1, since: 1 }, "invalid_value", "starting_after"],
  ["POST", `${ROOT}/${ENDPOINT}/replay`, { since: 1, status: "lost" }, "invalid_value", "status"],
  ["POST", "/v1/webhook_secret/rotate", { overlap_seconds: 1e9 }, "invalid_value", "overlap_seconds"],
  ["POST", "/v1/videos", { prompt: "a", webhook_url: "javascript:alert(1)" }, "invalid_value", "webhook_url"],
])("%s %s with %j names the bad field, and nothing is sent on", async (method, path, body, code, param) => {
  const { call, controlPlane } = await arrive();
  expect(await refusal(await call(path, json(method, body)))).toMatchObject({ status: 400, code, param });
  expect(controlPlane.received.filter(({ path: sent }) => !sent.endsWith("/keys/check"))).toEqual([]);
});

test.each([
  ["GET", `${ROOT}/we_1`],
  ["PATCH", `${ROOT}/we_1`],
  ["DELETE", `${ROOT}/..%2f..`],
  ["POST", `${ROOT}/${ENDPOINT}x/test`],
  ["POST", `${ROOT}/x/replay`],
  ["GET", "/v1/webhook_deliveries/msg_1"],
  ["POST", `/v1/webhook_deliveries/${ENDPOINT}/redeliver`],
])("%s %s is an unknown id like any other", async (method, path) => {
  const { call } = await arrive();
  expect(await refusal(await call(path, { method }))).toMatchObject({ status: 404, code: "not_found" });
});

test("what is asked is sent on for the caller's account, with what was left out filled in", async () => {
  const { call, controlPlane, account } = await arrive();
  const asked = [
    ["GET", `${ROOT}/${ENDPOINT}`, undefined, undefined],
    ["PATCH", `${ROOT}/${ENDPOINT}`, { enabled: true }, { enabled: true }],
    ["DELETE", `${ROOT}/${ENDPOINT}`, undefined, undefined],
    ["POST", `${ROOT}/${ENDPOINT}/rotate_secret`, undefined, { overlap_seconds: 86_400 }],
    ["POST", `${ROOT}/${ENDPOINT}/rotate_secret`, { overlap_seconds: 0 }, { overlap_seconds: 0 }],
    ["POST", `${ROOT}/${ENDPOINT}/test`, undefined, undefined],
    ["POST", `${ROOT}/${ENDPOINT}/replay`, { since: 5 }, { since: 5, status: "any" }],
    ["POST", "/v1/webhook_secret/rotate", undefined, { overlap_seconds: 86_400 }],
    ["GET", `/v1/webhook_deliveries/${DELIVERY}`, undefined, undefined],
    ["POST", `/v1/webhook_deliveries/${DELIVERY}/redeliver`, undefined, undefined],
  ] as const;
  for (const [method, path, body] of asked) {
    expect((await call(path, body === undefined ? { method } : json(method, body))).status).toBe(200);
  }
  const sent = controlPlane.received.filter(({ path }) => !path.endsWith("/keys/check"));
  expect(sent.map(({ method, path, body, account: whose }) => ({ method, path, body, whose }))).toEqual(
    asked.map(([method, path, , body]) => ({ method, path: `/edge${path}`, body, whose: account })),
  );
});

test("the log is asked for by page, endpoint and status; a filter that is none is named", async () => {
  const { call, controlPlane } = await arrive();
  const query = `limit=5&order=asc&after=${DELIVERY}&webhook_endpoint_id=${ENDPOINT}&status=failed`;
  expect((await call(`/v1/webhook_deliveries?${query}`)).status).toBe(200);
  expect(controlPlane.received.at(-1)?.path).toBe(`/edge/v1/webhook_deliveries?${query}`);
  expect(await refusal(await call("/v1/webhook_deliveries?status=lost"))).toMatchObject({
    status: 400,
    param: "status",
  });
  expect(await refusal(await call("/v1/webhook_deliveries?endpoint=1"))).toMatchObject({
    status: 400,
    param: "endpoint",
  });
});

test("nothing of it is for callers without a key, and wrong methods say which are right", async () => {
  const { call } = await arrive();
  const headers = { authorization: "Bearer cs_nope" };
  for (const path of [ROOT, `${ROOT}/${ENDPOINT}`, "/v1/webhook_deliveries", `/v1/webhook_deliveries/${DELIVERY}`]) {
    expect((await call(path, { headers })).status).toBe(401);
  }
  const put = await call(`${ROOT}/${ENDPOINT}`, { method: "PUT" });
  expect([put.status, put.headers.get("allow")]).toEqual([405, "GET, PATCH, DELETE"]);
  const get = await call(`${ROOT}/${ENDPOINT}/replay`);
  expect([get.status, get.headers.get("allow")]).toEqual([405, "POST"]);
});
