import { expect, test } from "vitest";
import { AccountId, RequestId } from "#protocol/id.ts";
import { SIGNATURE_WINDOW_MS, SIGNED_HEADERS, signCall, verifyCall } from "#protocol/signed-call.ts";

const SECRET = "a-secret-of-both-ends";
const NOW = 1_800_000_000_000;
const body = new TextEncoder().encode('{"a":1}');
const call = {
  method: "POST",
  url: new URL("https://control.test/edge/v1/videos?b=2&a=1"),
  body,
  account: AccountId.parse("acct_0123456789abcdef"),
  requestId: RequestId.parse(`req_${"0".repeat(32)}`),
};

async function received(part: { method?: string; url?: string; body?: string; headers?: Record<string, string> } = {}) {
  const headers = new Headers(await signCall(call, SECRET, NOW));
  for (const [name, value] of Object.entries(part.headers ?? {})) headers.set(name, value);
  return {
    method: part.method ?? call.method,
    url: part.url === undefined ? call.url : new URL(part.url),
    body: part.body === undefined ? body : new TextEncoder().encode(part.body),
    headers,
  };
}

test("a signed call is accepted with its account and request id, whatever the host and the order of the query", async () => {
  const good = { ok: true, account: call.account, requestId: call.requestId };
  expect(await verifyCall(await received(), [SECRET], NOW)).toEqual(good);
  const reordered = await received({ url: "http://127.0.0.1:1/edge/v1/videos?a=1&b=2" });
  expect(await verifyCall(reordered, [SECRET], NOW)).toEqual(good);
});

test.each([
  ["method", { method: "PUT" }],
  ["path", { url: "https://control.test/edge/v1/video?b=2&a=1" }],
  ["query", { url: "https://control.test/edge/v1/videos?b=2&a=2" }],
  ["body", { body: '{"a":2}' }],
  ["account", { headers: { [SIGNED_HEADERS.account]: "acct_0123456789abcdee" } }],
  ["timestamp", { headers: { [SIGNED_HEADERS.timestamp]: String(NOW + 1) } }],
  ["nonce", { headers: { [SIGNED_HEADERS.nonce]: `req_${"1".repeat(32)}` } }],
  ["signature", { headers: { [SIGNED_HEADERS.signature]: `v1=${"0".repeat(64)}` } }],
])("a call with another %s is refused", async (_what, part) => {
  expect(await verifyCall(await received(part), [SECRET], NOW)).toEqual({ ok: false, reason: "bad_signature" });
});

test("a call that is signed with another secret is refused", async () => {
  expect(await verifyCall(await received(), ["another"], NOW)).toEqual({ ok: false, reason: "bad_signature" });
});

test.each(Object.values(SIGNED_HEADERS))("a call without %s is unsigned", async (name) => {
  const bare = await received();
  bare.headers.delete(name);
  expect(await verifyCall(bare, [SECRET], NOW)).toEqual({ ok: false, reason: "unsigned" });
});

test("a call is good for a minute, either way", async () => {
  for (const edge of [-SIGNATURE_WINDOW_MS, SIGNATURE_WINDOW_MS]) {
    expect((await verifyCall(await received(), [SECRET], NOW + edge)).ok).toBe(true);
    const beyond = NOW + edge + Math.sign(edge);
    expect(await verifyCall(await received(), [SECRET], beyond)).toEqual({ ok: false, reason: "clock_skew" });
  }
});

test("while the secret is rotated both are accepted, and neither afterwards but the new one", async () => {
  const next = "the-next-secret-of-both-ends";
  const good = { ok: true, account: call.account, requestId: call.requestId };
  const bad = { ok: false, reason: "bad_signature" };
  const signedByOld = await received();
  const signedByNew = { ...call, headers: new Headers(await signCall(call, next, NOW)) };
  // 1. Both ends accept the new one. 2. They sign with it. 3. They forget the old one.
  for (const secrets of [
    [SECRET, next],
    [next, SECRET],
  ]) {
    expect(await verifyCall(signedByOld, secrets, NOW)).toEqual(good);
    expect(await verifyCall(signedByNew, secrets, NOW)).toEqual(good);
  }
  expect(await verifyCall(signedByOld, [next], NOW)).toEqual(bad);
  expect(await verifyCall(signedByNew, [next], NOW)).toEqual(good);
  expect(await verifyCall(signedByNew, [], NOW)).toEqual(bad);
});
