import { once } from "node:events";
import { request } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { serve } from "@hono/node-server";
import { Hono } from "hono";
import { afterEach, expect, test } from "vitest";
import { LIMIT_MAX } from "#control-plane/core/latency-limit.ts";
import { WAITING_MAX } from "#control-plane/core/load-gate.ts";
import type { CounterName, GaugeName } from "#control-plane/core/meter.ts";
import { CallGate } from "#control-plane/http/call-gate.ts";
import { ErrorEnvelope } from "#protocol/error.ts";

let server: Server;
afterEach(() => server.close());

interface Seen {
  readonly url: string;
  /** Prompts whose call began, in order. */
  readonly began: string[];
  /** Ends the call that began first. */
  readonly end: () => void;
  readonly until: (done: () => boolean) => Promise<void>;
  readonly counted: (name: CounterName) => number;
  readonly shown: (name: GaugeName) => number;
}

/** A listener behind a gate whose calls end when they are told to. */
async function open(monotonicMs = () => performance.now()): Promise<Seen> {
  const began: string[] = [];
  const ends: (() => void)[] = [];
  const counts = new Map<string, number>();
  const shows = new Map<string, number>();
  const watchers = new Set<() => void>();
  const changed = () => watchers.forEach((look) => look());
  const meter = {
    count(name: CounterName, _label?: string, by = 1) {
      counts.set(name, (counts.get(name) ?? 0) + by);
      changed();
    },
    show(name: GaugeName, value: number) {
      shows.set(name, value);
      changed();
    },
  };
  const gate = new CallGate({ monotonicMs, random: () => 0.5, meter });
  const app = new Hono().use(gate.middleware).post("/edge/v1/videos", async (c) => {
    const body = await c.req.text();
    began.push(body);
    const { promise, resolve } = Promise.withResolvers<void>();
    ends.push(resolve);
    changed();
    await promise;
    return c.text(body);
  });
  server = await new Promise<Server>((resolve) => {
    const listening = serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, () => resolve(listening as Server));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/edge/v1/videos`,
    began,
    end: () => ends.shift()?.(),
    until(done) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const look = () => done() && resolve();
      watchers.add(look);
      look();
      return promise.finally(() => watchers.delete(look));
    },
    counted: (name) => counts.get(name) ?? 0,
    shown: (name) => shows.get(name) ?? 0,
  };
}

function post(url: string, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(url, { method: "POST", body, headers });
}

/** As many calls under way as the gate allows. */
async function fill({ url, began, until, counted }: Seen): Promise<Promise<Response>[]> {
  const calls: Promise<Response>[] = [];
  while (counted("calls_shed_total") === 0) {
    calls.push(post(url, "filler", { "x-callsheet-deadline": "0" }));
    await until(() => began.length + counted("calls_shed_total") === calls.length);
  }
  expect(began.length).toBeLessThanOrEqual(LIMIT_MAX);
  return calls;
}

test("a call that is shed answers before its body was sent, with when to come again, and begins nothing", async () => {
  const seen = await open();
  const calls = await fill(seen);
  const before = seen.began.length;
  const unsent = request(seen.url, {
    method: "POST",
    headers: { "content-length": 1_000, "x-callsheet-deadline": "0" },
  });
  unsent.on("error", () => undefined); // The server may hang up on a body that never comes.
  unsent.flushHeaders();
  const [answer] = (await once(unsent, "response")) as [import("node:http").IncomingMessage];
  expect(answer.statusCode).toBe(503);
  expect(answer.headers).toMatchObject({ "retry-after": "16", "x-should-retry": "true", "x-callsheet-shed": "submit" });
  const chunks = await Array.fromAsync(answer as AsyncIterable<Buffer>);
  expect(ErrorEnvelope.parse(JSON.parse(Buffer.concat(chunks).toString())).error.code).toBe(
    "temporary_reduced_capacity",
  );
  unsent.destroy();
  expect(seen.began).toHaveLength(before);
  for (const _ of calls) seen.end();
  const statuses = (await Promise.all(calls)).map(({ status }) => status);
  expect(statuses.filter((status) => status === 200)).toHaveLength(before);
});

test("who hangs up while waiting is never begun; who waits on begins when a place is free", async () => {
  // Time stands still: nobody waits too long.
  const seen = await open(() => 0);
  const calls = await fill(seen);
  const hangUp = new AbortController();
  const gone = fetch(seen.url, { method: "POST", body: "gone", signal: hangUp.signal }).catch(() => null);
  await seen.until(() => seen.shown("calls_waiting") === 1);
  const waits = post(seen.url, "waits");
  await seen.until(() => seen.shown("calls_waiting") === 2);
  const waitedBefore = seen.counted("calls_waited_total");
  hangUp.abort();
  expect(await gone).toBeNull();
  await seen.until(() => seen.counted("calls_waited_total") > waitedBefore);
  seen.end();
  await seen.until(() => seen.began.includes("waits"));
  for (const _ of calls) seen.end();
  expect((await waits).status).toBe(200);
  await Promise.all(calls);
  expect(seen.began).not.toContain("gone");
});

test("nobody waits for ever: a full gate sheds those who wait within moments", async () => {
  const seen = await open();
  const calls = await fill(seen);
  const shedBefore = seen.counted("calls_shed_total");
  const more = await Promise.all(Array.from({ length: WAITING_MAX + 10 }, (_, n) => post(seen.url, `${n}`)));
  expect(new Set(more.map(({ status }) => status))).toEqual(new Set([503]));
  expect(seen.counted("calls_shed_total") - shedBefore).toBe(more.length);
  expect(seen.counted("calls_waited_total")).toBeGreaterThan(0);
  for (const _ of calls) seen.end();
  await Promise.all(calls);
});
