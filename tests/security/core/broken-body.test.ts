/** A caller that hangs up half-way is not taken for a database that is away. */
import { once } from "node:events";
import type { Server } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { afterAll, beforeAll, expect, test } from "vitest";
import { signed } from "#control-plane/http/signed.ts";

let server: Server;
const faults: unknown[] = [];
const answers: number[] = [];
let answered: () => void = () => undefined;
beforeAll(async () => {
  const app = new Hono()
    .use(async (c, next) => {
      await next();
      answers.push(c.res.status);
      answered();
    })
    .use(signed({ secrets: ["a secret of sixteen characters"], now: Date.now, claim: async () => true }))
    .onError((error, c) => {
      faults.push(error);
      return c.text("fault", 500);
    });
  server = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }) as Server;
  await once(server, "listening");
});
afterAll(() => void server.close());

test.each([
  ["a reset", (socket: ReturnType<typeof connect>) => socket.resetAndDestroy()],
  ["an end", (socket: ReturnType<typeof connect>) => socket.destroy()],
])("%s in the middle of a body is a refusal that nobody hears, and no fault", async (_what, hangUp) => {
  const before = answers.length;
  const seen = new Promise<void>((resolve) => (answered = resolve));
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  const begun = once(server, "request");
  socket.write("POST /edge/v1/videos HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\n{");
  await begun;
  hangUp(socket);
  await seen;
  expect(answers.slice(before)).toEqual([400]);
  expect(faults).toEqual([]);
});
