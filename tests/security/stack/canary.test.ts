/**
 * Secrets and words that are let into a representative run, and then looked for everywhere that they must not be: logs, errors,
 * metrics, webhooks, the output of `npm start`, and every column of every table.
 */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { z } from "zod";
import { WebhookEndpoint, WebhookSecret } from "#protocol/webhook.ts";
import { LiveSession } from "#tests/support/live-session.ts";
import { controlPlaneOf } from "#tests/support/product.ts";
import type { Product } from "#tests/support/product.ts";
import { WebhookReceiver } from "#tests/support/webhook-receiver.ts";
import { callerOf, joinStack, json, secretsOf } from "../stack.ts";
import type { Answered } from "../stack.ts";

const PROMPT = "canary-prompt-5f2c9a";
const METADATA = "canary-metadata-81d3e0";

let product: Product;
let receiver: WebhookReceiver;
/** By name; each is looked for as it is. */
const canaries = new Map<string, string>();
const errors: Answered[] = [];

beforeAll(async () => {
  product = joinStack();
  receiver = await WebhookReceiver.start();
  const { apiKey } = await product.account("pro");
  const call = callerOf(product, apiKey);
  const secrets = secretsOf(product);
  const endpoint = WebhookEndpoint.parse(json(await call("POST", "/v1/webhook_endpoints", { url: receiver.url })));
  const own = WebhookSecret.parse(json(await call("POST", "/v1/webhook_secret/rotate")));
  canaries.set("API key", apiKey).set("secret part of the API key", apiKey.split("_")[3] ?? "");
  canaries.set("webhook secret", endpoint.secret ?? "").set("the account's webhook secret", own.secret);
  for (const [name, secret] of Object.entries(secrets)) canaries.set(name, secret);
  canaries.set("prompt", PROMPT).set("metadata", METADATA);

  // 1. What goes well: a film to its end, heard of live and by webhook.
  const film = { prompt: PROMPT, size: "320x192", seconds: 1, steps: 2, metadata: { note: METADATA } };
  const session = await LiveSession.open(product.dev.edge_url, apiKey);
  const { id } = z
    .looseObject({ id: z.string() })
    .parse(json(await call("POST", "/v1/videos", { ...film, webhook_url: `${receiver.url}/own` })));
  await session.until("it is done", (frame) => frame.type === "video.completed" && frame.data?.id === id);
  await receiver.until(2);
  // 2. What goes wrong on the way: an engine that dies, a receiver that fails.
  receiver.answer(500);
  const crash = json(await call("POST", "/v1/videos", { ...film, prompt: `!crash ${PROMPT}` }));
  await session.until("it has failed", (frame) => frame.type === "video.failed" && frame.data?.id === crash["id"]);
  await session.close();
  // 3. What is refused, at each door, with a secret in every place where one could be put.
  const inside = await controlPlaneOf(product);
  const ask = async (url: string, init: RequestInit) => {
    const answer = await fetch(url, init);
    errors.push({ status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text() });
  };
  errors.push(await call("POST", "/v1/videos", { ...film, size: "7x7" }));
  errors.push(await call("POST", "/v1/videos", { ...film, seconds: 10_000 }));
  errors.push(await call("POST", "/v1/videos", { ...film, model: "nobody" }));
  errors.push(await call("POST", "/v1/webhook_endpoints", { url: "ftp://x", events: [] }));
  errors.push(await call("GET", `/v1/videos/video_${"0".repeat(32)}`));
  for (const url of [
    `${product.dev.edge_url}/v1/videos`,
    `${inside}/edge/v1/videos`,
    `${product.dev.admin_url}/admin/v1/tiers`,
    `${inside}/runner/v1`,
  ]) {
    // The operator's own door opens to the operator's own token.
    const wrong = Object.values(secrets).filter(
      (secret) => !(secret === secrets.admin_token && url.includes("/admin/")),
    );
    for (const secret of [...wrong, `${apiKey}x`]) {
      await ask(url, { headers: { authorization: `Bearer ${secret}`, "x-callsheet-signature": `v1=${secret}` } });
    }
  }
});
afterAll(async () => {
  await receiver.stop();
  await product.stop();
});

function expectNone(text: string, where: string, allowed: readonly string[] = []): void {
  const found = [...canaries]
    .filter(([name, canary]) => !allowed.includes(name) && text.includes(canary))
    .map(([name]) => name);
  expect(found, where).toEqual([]);
}

function filesUnder(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile());
}

test("no log of any part holds a secret, a prompt or a customer's metadata", () => {
  const logs = filesUnder(join(product.home, "logs"));
  expect(logs.map((path) => path.split("/").at(-1))).toEqual(
    expect.arrayContaining(["control-plane.log", "edge.log", "postgres.log", "runner-1.log"]) as string[],
  );
  for (const path of logs) expectNone(readFileSync(path, "utf8"), path);
  expect(logs.map((path) => statSync(path).size).reduce((sum, size) => sum + size)).toBeGreaterThan(1_000);
});

test("what `npm start` prints is for the operator: the demo key that it shows, and no other secret", () => {
  const { output } = inject("stack");
  expect(output).toContain("Callsheet is up");
  expectNone(output, "output");
});

test("no refusal repeats a secret or a prompt, and none tells of a stack", () => {
  expect(errors.length).toBeGreaterThan(20);
  for (const { status, headers, text } of errors) {
    expect(status).toBeGreaterThanOrEqual(400);
    expectNone(JSON.stringify(headers) + text, text);
    expect(text).not.toMatch(/\n\s+at |node_modules/);
  }
});

test("webhooks carry a signature and not what made it; they tell of a video and not what it was asked for", () => {
  expect(receiver.received.length).toBeGreaterThan(2);
  for (const { path, headers, body } of receiver.received) expectNone(JSON.stringify([path, headers]) + body, path);
});

test("the metrics name no account, no key and no prompt", async () => {
  const answer = await fetch(`${product.dev.admin_url}/metrics`, {
    headers: { authorization: `Bearer ${product.dev.admin_token}` },
  });
  const text = await answer.text();
  expectNone(text, "metrics");
  expect(text).not.toMatch(/acct_|video_|cs_dev_/);
});

test("the database keeps no key and no token of ours, in no column of any table; webhook secrets it must sign with", async () => {
  const { sql } = product;
  const columns = await sql<{ schema: string; table: string; column: string }[]>`
    select n.nspname as schema, c.relname as table, a.attname as column
    from pg_attribute a join pg_class c on c.oid = a.attrelid join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm') and a.attnum > 0 and not a.attisdropped
      and n.nspname not in ('pg_catalog', 'information_schema', 'pg_toast')`;
  expect(columns.length).toBeGreaterThan(100);
  const holders = new Map<string, string[]>();
  for (const { schema, table, column } of columns) {
    for (const [name, canary] of canaries) {
      const [row] = await sql<{ found: boolean }[]>`
        select exists (select 1 from ${sql(schema)}.${sql(table)} where position(${canary} in ${sql(column)}::text) > 0
          or position(${Buffer.from(canary).toString("hex")} in ${sql(column)}::text) > 0) as found`;
      if (row?.found === true) holders.getOrInsertComputed(name, () => []).push(`${table}.${column}`);
    }
  }
  expect(Object.fromEntries(holders)).toEqual({
    "webhook secret": ["webhook_endpoint.secret"],
    "the account's webhook secret": ["webhook_secret.secret"],
    prompt: ["job.prompt"],
    metadata: ["job.metadata"],
  });
});

test("files with secrets are their owner's alone, and the edge's own storage keeps no key", () => {
  for (const name of ["secrets.json", "accounts.json", "dev.json"]) {
    expect(statSync(join(product.home, name)).mode & 0o077, name).toBe(0);
  }
  for (const folder of ["edge", "store", "runners"]) {
    for (const path of filesUnder(join(product.home, folder))) {
      const text = readFileSync(path, "latin1");
      // The Worker's configuration is where its signing secret comes from.
      const allowed = path.endsWith(".capnp") ? ["edge_secret"] : [];
      expectNone(text, path, allowed);
    }
  }
});
