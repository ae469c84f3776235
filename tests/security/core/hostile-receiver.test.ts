/** What a webhook's receiver may do to us: answer without end, in bombs, drop by drop, elsewhere, or not at all. All of it is bounded. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { Server, ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { ANYTHING, newResolver } from "#control-plane/egress/address-guard.ts";
import { WebhookPost } from "#control-plane/egress/webhook-post.ts";

const SECRET = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;
const MIB = 1024 * 1024;

let server: Server;
let answer: (response: ServerResponse) => void;
let requests: string[] = [];
const sockets = new Set<Socket>();
beforeAll(async () => {
  server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    response.on("error", () => undefined);
    response.setMaxListeners(0); // One a wait for room, in the longest answers.
    answer(response);
  });
  server.on("connection", (socket) => sockets.add(socket));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterEach(() => {
  requests = [];
  for (const socket of sockets) socket.destroy();
  sockets.clear();
});
afterAll(() => void server.close());

const url = () => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
const send = (signal = new AbortController().signal) =>
  new WebhookPost(ANYTHING, newResolver()).send(
    { id: "msg_1", url: `${url()}/hook`, secrets: { secret: SECRET, retiring: [] }, body: "{}" },
    new Date(),
    signal,
  );

/** How many bytes this end had to send before the other hung up. */
async function bytesTaken(response: ServerResponse, chunk: Buffer, bytesMax: number): Promise<number> {
  let sent = 0;
  while (sent < bytesMax && !response.destroyed) {
    sent += chunk.length;
    if (!response.write(chunk)) await Promise.race([once(response, "drain"), once(response, "close")]);
  }
  return sent;
}

test("of a gibibyte as an answer nothing is read but what the network had already taken", async () => {
  const taken = Promise.withResolvers<number>();
  answer = (response) => {
    response.writeHead(200, { "content-length": String(1024 * MIB) });
    void bytesTaken(response, Buffer.alloc(64 * 1024), 1024 * MIB).then(taken.resolve, taken.reject);
  };
  const before = process.memoryUsage().rss;
  expect(await send()).toMatchObject({ kind: "answered", status: 200 });
  expect(await taken.promise).toBeLessThan(32 * MIB);
  expect(process.memoryUsage().rss - before).toBeLessThan(64 * MIB);
});

test("a chain of compressions is not unpacked", async () => {
  let bomb: Buffer = Buffer.alloc(64 * MIB);
  for (let layer = 0; layer < 5; layer++) bomb = gzipSync(bomb);
  answer = (response) => {
    response.writeHead(200, { "content-encoding": Array(5).fill("gzip").join(", ") });
    response.end(bomb);
  };
  const before = process.cpuUsage();
  expect(await send()).toMatchObject({ kind: "answered", status: 200 });
  // Unpacking the outermost layers alone takes longer.
  expect(process.cpuUsage(before).user / 1_000).toBeLessThan(1_000);
});

test("an answer that drips, a header that never ends, and headers without number end when their time or room does", async () => {
  answer = (response) => {
    response.socket?.write("HTTP/1.1 200 OK\r\n");
    const drip = setInterval(() => response.socket?.write("x-drip: 1\r\n"), 20);
    response.socket?.once("close", () => clearInterval(drip));
  };
  expect(await send(AbortSignal.timeout(500))).toMatchObject({ kind: "unreachable" });
  answer = (response) => {
    response.socket?.write(`HTTP/1.1 200 OK\r\n${"x-many: 1\r\n".repeat(10_000)}\r\n`);
  };
  expect(await send()).toMatchObject({ kind: "unreachable" });
  answer = (response) => response.socket?.write(`HTTP/1.1 200 OK\r\nx-long: ${"x".repeat(100_000)}\r\n\r\n`);
  expect(await send()).toMatchObject({ kind: "unreachable" });
});

test.each([301, 302, 303, 307, 308])("a %i is a failure and is not followed", async (status) => {
  answer = (response) => response.writeHead(status, { location: `${url()}/secret` }).end();
  expect(await send()).toMatchObject({ kind: "answered", status });
  expect(requests).toEqual(["POST /hook"]);
});

test.each([
  ["no HTTP", "220 smtp.example.com ESMTP\r\n"],
  ["a status that is none", "HTTP/1.1 9999 x\r\n\r\n"],
  ["bytes", "\0\xff\xfe".repeat(100)],
  ["two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx"],
  ["an upgrade", "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"],
  ["nothing, and an end", ""],
])("%s is an outcome like any other, and nothing breaks", async (_what, bytes) => {
  answer = (response) => response.socket?.end(Buffer.from(bytes, "latin1"));
  const { kind } = await send(AbortSignal.timeout(2_000));
  expect(["answered", "unreachable"]).toContain(kind);
});

test.each(["-1", "1e99", "99999999999999999999", "yesterday", "Tue, 01 Jan 9999 00:00:00 GMT", "\x7f"])(
  "a Retry-After of %s is a number of milliseconds or none",
  async (value) => {
    answer = (response) => response.socket?.end(`HTTP/1.1 429 x\r\nretry-after: ${value}\r\ncontent-length: 0\r\n\r\n`);
    const outcome = await send(AbortSignal.timeout(2_000));
    if (outcome.kind !== "answered") return;
    expect(
      outcome.retryAfterMs === null || (Number.isSafeInteger(outcome.retryAfterMs) && outcome.retryAfterMs >= 0),
    ).toBe(true);
  },
);
