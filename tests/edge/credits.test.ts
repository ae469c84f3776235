import { expect, test } from "vitest";
import { ErrorEnvelope } from "#protocol/error.ts";
import { Event } from "#protocol/event.ts";
import { TIER } from "./control-plane-stand-in.ts";
import { arrive } from "./customer.ts";
import { event, VIDEO_ID } from "./sample.ts";

const PIXEL = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0]);
const json = (body: unknown) => ({
  method: "POST",
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});

async function refusal(answer: Response) {
  return { status: answer.status, ...ErrorEnvelope.parse(await answer.json()).error };
}

test("an estimate takes a create's body, form or JSON, and sends no image on", async () => {
  const { call, controlPlane, account } = await arrive();
  const form = new FormData();
  form.append("prompt", "a red fox");
  form.append("seconds", "2");
  form.append("input_reference", new File([PIXEL], "fox.png", { type: "image/png" }));
  expect((await call("/v1/videos/estimate", { method: "POST", body: form })).status).toBe(200);
  expect((await call("/v1/videos/estimate", json({ prompt: "a red fox", seconds: 2 }))).status).toBe(200);
  const sent = controlPlane.calls("POST", "/edge/v1/videos/estimate");
  expect(sent.map(({ body, account: whose }) => ({ body, whose }))).toEqual(
    Array.from({ length: 2 }, () => ({ body: { video: { prompt: "a red fox", seconds: 2 } }, whose: account })),
  );
});

test.each([
  ["no prompt", { seconds: 2 }, "invalid_value", "prompt"],
  ["a typo", { prompt: "a", secnds: 2 }, "unknown_parameter", "secnds"],
  ["an image that is none", { prompt: "a", input_reference: "x" }, "invalid_value", "input_reference"],
])("an estimate with %s is refused as the create would be", async (_what, body, code, param) => {
  const { call, controlPlane } = await arrive();
  expect(await refusal(await call("/v1/videos/estimate", json(body)))).toMatchObject({ status: 400, code, param });
  expect(controlPlane.calls("POST", "/edge/v1/videos/estimate")).toEqual([]);
});

test("an estimate uses up no create, and is for those with a key only", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.limits = { ...TIER, creates_per_minute: 1, creates_burst: 1 };
  for (let n = 0; n < 3; n++) expect((await call("/v1/videos/estimate", json({ prompt: "a" }))).status).toBe(200);
  expect((await call("/v1/videos", json({ prompt: "a" }))).status).toBe(200);
  const headers = { "content-type": "application/json", authorization: "Bearer cs_nope" };
  const stranger = await call("/v1/videos/estimate", { method: "POST", headers, body: '{"prompt":"a"}' });
  expect(stranger.status).toBe(401);
  const read = await call("/v1/videos/estimate");
  expect([read.status, read.headers.get("allow")]).toEqual([405, "POST"]);
});

test("balance, grants and transactions are asked for the caller's account, page by page", async () => {
  const { call, controlPlane, account } = await arrive();
  expect((await call("/v1/credits/balance")).status).toBe(200);
  expect((await call("/v1/credits/grants?limit=5&order=asc&after=grant_1")).status).toBe(200);
  expect((await call("/v1/credits/transactions")).status).toBe(200);
  const asked = controlPlane.received.filter(({ path }) => path.startsWith("/edge/v1/credits"));
  expect(asked.map(({ path }) => path)).toEqual([
    "/edge/v1/credits/balance",
    "/edge/v1/credits/grants?limit=5&order=asc&after=grant_1",
    "/edge/v1/credits/transactions?limit=20&order=desc",
  ]);
  expect(asked.every((sent) => sent.account === account)).toBe(true);
});

test.each([
  ["/v1/credits/grants?limit=101", "limit"],
  ["/v1/credits/grants?after=video_1", "after"],
  ["/v1/credits/transactions?after=grant_1", "after"],
  ["/v1/credits/transactions?order=up", "order"],
])("%s is refused by the name of what is wrong", async (path, param) => {
  const { call } = await arrive();
  expect(await refusal(await call(path))).toMatchObject({ status: 400, param });
});

test("credits are read-only here", async () => {
  const { call } = await arrive();
  const answer = await call("/v1/credits/balance", { method: "POST" });
  expect([answer.status, answer.headers.get("allow")]).toEqual([405, "GET"]);
});

test("a session hears of the account's credits; one that asked for certain videos hears only what is about them", async () => {
  const { listen, push } = await arrive();
  const [all, some] = [await listen(), await listen()];
  await Promise.all([all.until("caught_up"), some.until("caught_up")]);
  some.send({ type: "subscribe", video_ids: [VIDEO_ID] });
  expect((await some.until("caught_up")).map((frame) => frame.type)).toEqual(["snapshot", "caught_up"]);
  const { data: _video, ...envelope } = event(1);
  const low = { type: "credits.low_balance", data: { available: "1", threshold: "25" } };
  const refunded = { type: "credits.refunded", data: { video_id: VIDEO_ID, amount: "1" } };
  const second = { ...event(2), ...refunded };
  await push([
    { kind: "event", event: Event.parse({ ...envelope, ...low }) },
    { kind: "event", event: Event.parse(second) },
  ]);
  expect(await all.numbers(2)).toEqual([1, 2]);
  expect(await some.numbers(1)).toEqual([2]);
});
