/** What may be said over a customer's live session, and what a client that means harm gets for it. */
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { WebSocket } from "ws";
import { LiveSession } from "#tests/support/live-session.ts";
import type { Product } from "#tests/support/product.ts";
import { callerOf, joinStack } from "../stack.ts";

let product: Product;
let apiKey: string;
const sockets = new Set<WebSocket>();
beforeAll(async () => {
  product = joinStack();
  ({ apiKey } = await product.account("pro"));
});
afterEach(() => {
  for (const socket of sockets) socket.terminate();
  sockets.clear();
});
afterAll(() => product.stop());

const path = (query = "") => `${product.dev.edge_url.replace(/^http/, "ws")}/v1/videos/events${query}`;

/** The status of the answer to an upgrade: 101 opens. */
function dial(query = "", headers: Record<string, string> = {}, protocols: string[] = []): Promise<number> {
  const socket = new WebSocket(path(query), protocols, { headers });
  sockets.add(socket);
  return new Promise((resolve, reject) => {
    socket.on("open", () => resolve(101));
    socket.on("unexpected-response", (_request, response) => {
      resolve(response.statusCode ?? 0);
      socket.terminate();
    });
    socket.on("error", (error) => (/Unexpected|closed before/.test(error.message) ? undefined : reject(error)));
  });
}

const bearer = (key: string) => ({ authorization: `Bearer ${key}` });

test.each<[string, () => [string, Record<string, string>, string[]]]>([
  ["no key", () => ["", {}, []]],
  ["a key with a wrong letter", () => ["", bearer(apiKey.slice(0, -1) + (apiKey.endsWith("a") ? "b" : "a")), []]],
  ["a key as ?api_key", () => [`?api_key=${apiKey}`, {}, []]],
  ["a key as ?access_token", () => [`?access_token=${apiKey}`, {}, []]],
  ["a key as ?token", () => [`?token=${apiKey}`, {}, []]],
  ["a key as ?authorization", () => [`?authorization=Bearer%20${apiKey}`, {}, []]],
  ["a key as a subprotocol", () => ["", {}, ["callsheet.v1", apiKey]]],
  ["a key as a cookie", () => ["", { cookie: `authorization=Bearer ${apiKey}; api_key=${apiKey}` }, []]],
])("%s opens no session: 401 instead of 101", async (_what, how) => {
  expect(await dial(...how())).toBe(401);
});

async function open(): Promise<{ readonly socket: WebSocket; readonly closed: Promise<number> }> {
  const socket = new WebSocket(path(), "callsheet.v1", { headers: bearer(apiKey), perMessageDeflate: false });
  sockets.add(socket);
  await once(socket, "open");
  const closed = new Promise<number>((resolve) => socket.on("close", (code) => resolve(code)));
  socket.on("error", () => undefined); // A cut is an end like any other.
  return { socket, closed };
}

test.each<[string, string | Buffer]>([
  ["a binary frame", Buffer.from('{"type":"subscribe"}')],
  ["no JSON", "{"],
  ["another type", '{"type":"publish"}'],
  ["a field too many", '{"type":"subscribe","account":"acct_0123456789abcdef"}'],
  ["a cursor below nothing", '{"type":"subscribe","starting_after":-1}'],
  ["a cursor that is no number", '{"type":"subscribe","starting_after":"0"}'],
  ["an id that is none", '{"type":"subscribe","video_ids":["../x"]}'],
  ["101 ids", JSON.stringify({ type: "subscribe", video_ids: Array(101).fill(`video_${"0".repeat(32)}`) })],
  ["brackets without end", "[".repeat(8_000)],
  ["9,000 characters", JSON.stringify({ type: "subscribe", x: "x".repeat(9_000) })],
  ["a megabyte", "x".repeat(1_000_000)],
  ["half a character", '{"type":"subscribe","video_ids":["\\ud800"]}'],
])("%s ends the session, with a code that says so, and no other", async (_what, frame) => {
  const [bad, good] = await Promise.all([open(), open()]);
  bad.socket.send(frame);
  // 1009: the runtime's own limit.
  expect([4003, 1009]).toContain(await bad.closed);
  const pong = once(good.socket, "message");
  good.socket.send("ping");
  await pong;
  expect(good.socket.readyState).toBe(WebSocket.OPEN);
});

test("a frame in a thousand pieces, and pieces without end, cost nobody else their session", async () => {
  const good = await open();
  const pieces = await open();
  const text = JSON.stringify({ type: "subscribe" });
  for (let n = 0; n < 1_000; n++) pieces.socket.send(n < text.length ? (text[n] ?? "") : " ", { fin: n === 999 });
  const endless = await open();
  for (let n = 0; n < 20_000; n++) endless.socket.send("x", { fin: false });
  const pong = once(good.socket, "message");
  good.socket.send("ping");
  await pong;
  expect((await callerOf(product, apiKey)("GET", "/v1/videos?limit=1")).status).toBe(200);
});

test("an account has at most twenty sessions at once, and a flood of frames closes the one that sends it", async () => {
  const { apiKey: key } = await product.account("pro");
  const statuses = await Promise.all(Array.from({ length: 30 }, () => dial("", bearer(key))));
  expect(statuses.filter((status) => status === 101)).toHaveLength(20);
  expect(statuses.filter((status) => status === 429)).toHaveLength(10);
  const flood = await open();
  for (let n = 0; n < 2_000; n++) flood.socket.send('{"type":"subscribe"}');
  expect(await flood.closed).toBe(4100);
});

test("a client that never reads delays no other", async () => {
  const deaf = await open();
  deaf.socket.pause();
  const session = await LiveSession.open(product.dev.edge_url, apiKey);
  const call = callerOf(product, apiKey);
  for (let n = 0; n < 20; n++) {
    await call("POST", "/v1/videos", { prompt: "x", size: "320x192", seconds: 1, steps: 1 });
  }
  const twentieth = await session.until("all twenty are queued", (frame) => (frame.sequence_number ?? 0) >= 20);
  expect(twentieth.data?.id).toMatch(/^video_/);
  await session.close();
});

test("two hundred requests that never end hold up nobody, at the edge or inside", async () => {
  const ports = [product.dev.edge_url, product.dev.admin_url].map((url) => Number(new URL(url).port));
  const held = await Promise.all(
    Array.from({ length: 200 }, async (_, n) => {
      const socket = connect(ports[n % 2] ?? 0, "127.0.0.1");
      socket.on("error", () => undefined);
      await once(socket, "connect");
      const head = `POST /v1/videos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${apiKey}\r\ncontent-type: application/json\r\n`;
      // Half of them end their headers, and never their body.
      socket.write(n % 4 < 2 ? head : `${head}content-length: 100000\r\n\r\n{`);
      return socket;
    }),
  );
  for (let n = 0; n < 20; n++) expect((await callerOf(product, apiKey)("GET", "/v1/videos?limit=1")).status).toBe(200);
  expect(await product.admin("GET", "/tiers")).toMatchObject({ object: "list" });
  for (const socket of held) socket.destroy();
});
