/** The wire between edge and control plane, as somebody sees it who stands in between: every signed part, changed; both ways. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { AccountId, CreateKey, RequestId } from "#protocol/id.ts";
import { SIGNATURE_WINDOW_MS, signCall } from "#protocol/signed-call.ts";
import { controlPlaneOf } from "#tests/support/product.ts";
import type { Product } from "#tests/support/product.ts";
import { joinStack, secretsOf } from "../stack.ts";

let product: Product;
let secret: string;
let account: AccountId;
let other: AccountId;
let inside: string;
beforeAll(async () => {
  product = joinStack();
  secret = secretsOf(product).edge_secret;
  inside = await controlPlaneOf(product);
  account = AccountId.parse((await product.account("pro")).id);
  other = AccountId.parse((await product.account("pro")).id);
});
afterAll(() => product.stop());

const hex = () => crypto.randomUUID().replaceAll("-", "");
const bytesOf = (text: string) => new Uint8Array(new TextEncoder().encode(text));

interface Call {
  readonly method: string;
  readonly url: string;
  readonly body: string;
}

async function sent(
  call: Call,
  change: (of: { method: string; url: URL; body: string; headers: Headers }) => void,
  nowMs = Date.now(),
  with_ = secret,
) {
  const requestId = RequestId.parse(`req_${hex()}`);
  const url = new URL(call.url);
  const signed = await signCall(
    { method: call.method, url, body: bytesOf(call.body), account, requestId },
    with_,
    nowMs,
  );
  const of = {
    method: call.method,
    url,
    body: call.body,
    headers: new Headers({ "content-type": "application/json", ...signed }),
  };
  change(of);
  const answer = await fetch(of.url, {
    method: of.method,
    headers: of.headers,
    ...(of.method === "GET" ? {} : { body: of.body }),
  });
  return { status: answer.status, text: await answer.text() };
}

const create = (): Call => ({
  method: "POST",
  url: `${inside}/edge/v1/videos?a=1&b=2`,
  body: JSON.stringify({
    create_key: CreateKey.parse(`ck_${hex()}`),
    video: { prompt: "signed", size: "320x192", seconds: 1 },
  }),
});
const push = (): Call => ({
  method: "POST",
  url: `${product.dev.edge_url}/internal/v1/push?a=1&b=2`,
  body: JSON.stringify({ items: [{ kind: "key_revoked", key_sha256: hex() + hex() }] }),
});

const CHANGES: Readonly<Record<string, (of: { method: string; url: URL; body: string; headers: Headers }) => void>> = {
  "the method": (of) => (of.method = "PUT"),
  "the path": (of) => (of.url.pathname = `${of.url.pathname}/`),
  "the path's spelling": (of) => (of.url.pathname = of.url.pathname.replace("v1", "%761")),
  "a value of the query": (of) => of.url.searchParams.set("a", "2"),
  "one more in the query": (of) => of.url.searchParams.append("c", "3"),
  "one less in the query": (of) => of.url.searchParams.delete("b"),
  "a byte of the body": (of) => (of.body = of.body.replace('"', " ")),
  "the length of the body": (of) => (of.body += " "),
  "no body": (of) => (of.body = ""),
  "the account": (of) => of.headers.set("x-callsheet-account", other),
  "no account": (of) => of.headers.delete("x-callsheet-account"),
  "the timestamp by a millisecond": (of) =>
    of.headers.set("x-callsheet-timestamp", String(Number(of.headers.get("x-callsheet-timestamp")) + 1)),
  "no timestamp": (of) => of.headers.delete("x-callsheet-timestamp"),
  "the nonce": (of) => of.headers.set("x-request-id", `req_${hex()}`),
  "no nonce": (of) => of.headers.delete("x-request-id"),
  "a digit of the signature": (of) =>
    of.headers.set(
      "x-callsheet-signature",
      (of.headers.get("x-callsheet-signature") ?? "").replace(/.$/, (digit) => (digit === "0" ? "1" : "0")),
    ),
  "the signature's version": (of) =>
    of.headers.set("x-callsheet-signature", (of.headers.get("x-callsheet-signature") ?? "").replace("v1", "v0")),
  "a second signature beside it": (of) => of.headers.append("x-callsheet-signature", `v1=${"0".repeat(64)}`),
  "no signature": (of) => of.headers.delete("x-callsheet-signature"),
};

test.each(Object.keys(CHANGES))(
  "a call with %s changed on the way is refused, towards the inside and towards the edge",
  async (what) => {
    const change = CHANGES[what] ?? (() => undefined);
    for (const call of [create(), push()]) {
      const answer = await sent(call, change);
      // Another path or method may be nobody's: it never gets as far as the signature.
      expect(what.startsWith("the path") || what === "the method" ? [401, 404, 405] : [401], call.url).toContain(
        answer.status,
      );
    }
    expect(
      await product.sql`select 1 from job where account_id in (${account}, ${other}) and prompt = 'signed'`,
    ).toHaveLength(0);
  },
);

test("unchanged they are taken, so it is the change that is refused", async () => {
  expect((await sent(create(), () => undefined)).status).toBe(200);
  expect((await sent(push(), () => undefined)).status).toBe(200);
});

test("a call from more than a minute before or after is refused, both ways, and so is another secret's", async () => {
  for (const call of [create(), push()]) {
    for (const off of [-1, 1]) {
      expect((await sent(call, () => undefined, Date.now() + off * (SIGNATURE_WINDOW_MS + 5_000))).status).toBe(401);
    }
    expect((await sent(call, () => undefined, Date.now(), `${secret}x`)).status).toBe(401);
  }
});

test("a create that is recorded on the wire and sent again makes no second video", async () => {
  const call = create();
  const requestId = RequestId.parse(`req_${hex()}`);
  const url = new URL(call.url);
  const headers = await signCall(
    { method: call.method, url, body: bytesOf(call.body), account, requestId },
    secret,
    Date.now(),
  );
  const before = await product.sql`select id from job where account_id = ${account}`;
  const again = () => fetch(url, { method: "POST", headers, body: call.body });
  const answers = await Promise.all(Array.from({ length: 8 }, again));
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, ...Array<number>(7).fill(400)]);
  expect(await product.sql`select id from job where account_id = ${account}`).toHaveLength(before.length + 1);
});
