/**
 * Another account's things are as unknown as what never was: every route × every id it takes, in path, query, body or frame.
 * The table names every documented route, so a new one without an entry fails here.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import { WebhookDelivery, WebhookEndpoint } from "#protocol/webhook.ts";
import { OPERATIONS } from "#protocol/openapi.ts";
import { Video } from "#protocol/video.ts";
import { LiveSession } from "#tests/support/live-session.ts";
import { until } from "#tests/support/product.ts";
import type { Product } from "#tests/support/product.ts";
import { WebhookReceiver } from "#tests/support/webhook-receiver.ts";
import { callerOf, joinStack, json, telling } from "../stack.ts";
import type { Call } from "../stack.ts";

type IdKind = "done" | "running" | "endpoint" | "delivery" | "grant" | "transaction";

interface Entry {
  /** What the `{id}` of the path names; `done` and `running` are videos. */
  readonly path?: readonly IdKind[];
  readonly body?: unknown;
  /** Query parameters that take an id. */
  readonly query?: Readonly<Record<string, readonly IdKind[]>>;
  /** Of both answers, where it is not 404. */
  readonly status?: number;
  /** It takes no id: what it answers about is the account of the key. */
  readonly own?: true;
}

const VIDEO = ["done", "running"] as const;
const ROUTES: Readonly<Record<string, Entry>> = {
  "POST /v1/videos": { own: true },
  "GET /v1/videos": { query: { after: VIDEO } },
  "POST /v1/videos/estimate": { own: true },
  "GET /v1/videos/{id}": { path: VIDEO },
  "DELETE /v1/videos/{id}": { path: VIDEO },
  "POST /v1/videos/{id}/cancel": { path: VIDEO },
  "GET /v1/videos/{id}/content": { path: VIDEO },
  "GET /v1/videos/{id}/events": { path: VIDEO },
  "POST /v1/videos/{id}/remix": { path: ["done", "running"], body: { prompt: "my own now" } },
  "POST /v1/videos/{id}/promote": { path: ["done", "running"], body: {} },
  // Offered to nobody, whatever it is asked of.
  "GET /v1/videos/characters/{id}": { path: VIDEO, status: 400 },
  "POST /v1/videos/edits": { own: true },
  "POST /v1/videos/extensions": { own: true },
  "POST /v1/videos/characters": { own: true },
  "POST /v1/sessions": { own: true },
  "GET /v1/limits": { own: true },
  "GET /v1/models": { own: true },
  // Its ids are in frames: the last test here.
  "GET /v1/videos/events": { own: true },
  "GET /v1/credits/balance": { own: true },
  "GET /v1/credits/grants": { query: { after: ["grant"] } },
  "GET /v1/credits/transactions": { query: { after: ["transaction"] } },
  "POST /v1/webhook_endpoints": { own: true },
  "GET /v1/webhook_endpoints": { own: true },
  "GET /v1/webhook_endpoints/{id}": { path: ["endpoint"] },
  "PATCH /v1/webhook_endpoints/{id}": { path: ["endpoint"], body: { enabled: false } },
  "DELETE /v1/webhook_endpoints/{id}": { path: ["endpoint"] },
  "POST /v1/webhook_endpoints/{id}/rotate_secret": { path: ["endpoint"], body: {} },
  "POST /v1/webhook_endpoints/{id}/test": { path: ["endpoint"] },
  "POST /v1/webhook_endpoints/{id}/replay": { path: ["endpoint"], body: { starting_after: 0 } },
  "POST /v1/webhook_secret/rotate": { own: true },
  "GET /v1/webhook_deliveries": { query: { after: ["delivery"], webhook_endpoint_id: ["endpoint"] } },
  "GET /v1/webhook_deliveries/{id}": { path: ["delivery"] },
  "POST /v1/webhook_deliveries/{id}/redeliver": { path: ["delivery"] },
};

let product: Product;
let receiver: WebhookReceiver;
let stranger: Call;
let strangerKey: string;
let victim: { readonly id: string; readonly apiKey: string };
let own: Readonly<Record<IdKind, string>>;

beforeAll(async () => {
  product = joinStack();
  receiver = await WebhookReceiver.start();
  victim = await product.account("pro");
  strangerKey = (await product.account("pro")).apiKey;
  stranger = callerOf(product, strangerKey);
  // Things of its own, between which a leak would show.
  await stranger("POST", "/v1/videos", { prompt: "mine", size: "320x192", seconds: 1, steps: 1 });
  const mine = WebhookEndpoint.parse(json(await stranger("POST", "/v1/webhook_endpoints", { url: receiver.url })));
  await stranger("POST", `/v1/webhook_endpoints/${mine.id}/test`);
  const call = callerOf(product, victim.apiKey);
  const endpoint = WebhookEndpoint.parse(json(await call("POST", "/v1/webhook_endpoints", { url: receiver.url })));
  const delivery = WebhookDelivery.parse(json(await call("POST", `/v1/webhook_endpoints/${endpoint.id}/test`)));
  const create = async (prompt: string) =>
    Video.parse(json(await call("POST", "/v1/videos", { prompt, size: "320x192", seconds: 1, steps: 8 }))).id;
  const done = await create("the victim's film");
  await until(
    "the film is done",
    60_000,
    async () => json(await call("GET", `/v1/videos/${done}`))["status"] === "completed",
  );
  // One film waits long enough to be there while everything is tried.
  const running = await create("!idle=5000 the victim's next film");
  const listed = async (path: string) =>
    (json(await call("GET", path)) as { data: { id: string }[] }).data[0]?.id ?? "";
  own = {
    done,
    running,
    endpoint: endpoint.id,
    delivery: delivery.id,
    grant: await listed("/v1/credits/grants"),
    transaction: await listed("/v1/credits/transactions"),
  };
  if (Object.values(own).includes("")) throw new Error("the victim has one of each");
});
afterAll(async () => {
  await callerOf(product, victim.apiKey)("DELETE", `/v1/videos/${own.running}`);
  await receiver.stop();
  await product.stop();
});

/** Of the same shape, next to it in every order, and nobody's. */
function unknownLike(id: string): string {
  if (id.startsWith("txn_")) return "txn_999999999999999999";
  return id.slice(0, -1) + (id.endsWith("0") ? "1" : "0");
}

/** All that is the victim's and could be changed from outside. */
async function whatIsKept(): Promise<string> {
  const { sql } = product;
  const tables = await Promise.all([
    sql`select id, state, deleted_at, epoch from job where account_id = ${victim.id} order by id`,
    sql`select id, enabled, url, secret, events from webhook_endpoint where account_id = ${victim.id} order by id`,
    sql`select id, created_at from webhook_delivery where account_id = ${victim.id} order by id`,
    sql`select account_id, secret from webhook_secret where account_id = ${victim.id}`,
    sql`select id, held, consumed from credit_grant where account_id = ${victim.id} order by id`,
  ]);
  return JSON.stringify(tables, (_key, value: unknown) => (typeof value === "bigint" ? String(value) : value));
}

test("every documented route says how it is protected", () => {
  const documented = Object.entries(OPERATIONS).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
  expect(Object.keys(ROUTES).toSorted()).toEqual(documented.toSorted());
  for (const [route, entry] of Object.entries(ROUTES)) {
    expect(route.includes("{"), route).toBe(entry.path !== undefined);
    expect(entry.own ?? entry.path ?? entry.query, route).toBeDefined();
  }
});

test("in no route does the id of another account's thing do or say more than one that nobody has", async () => {
  // Its first frame may still be on its way to a runner.
  await until("the next film is under way", 20_000, async () => {
    const [row] = await product.sql`select state from job where id = ${own.running}`;
    return row?.["state"] === "running";
  });
  const before = await whatIsKept();
  const seen: string[] = [];
  for (const [route, { path: kinds = [], body, status = 404 }] of Object.entries(ROUTES)) {
    const [method = "", path = ""] = route.split(" ");
    for (const kind of kinds) {
      const [known, nobodys] = [own[kind], unknownLike(own[kind])];
      const ask = (id: string) => stranger(method, path.replace("{id}", id), body);
      const [foreign, unknown] = await Promise.all([ask(known), ask(nobodys)]);
      expect(foreign.status, `${route} with a ${kind}`).toBe(status);
      expect(telling(foreign, known), `${route} with a ${kind}`).toBe(telling(unknown, nobodys));
      seen.push(route);
    }
  }
  expect(seen).toHaveLength(Object.values(ROUTES).flatMap(({ path = [] }) => path).length);
  expect(await whatIsKept()).toBe(before);
});

test("as a cursor or a filter it finds what an unknown one finds, and no list shows anything of another account", async () => {
  const ids = Object.values(own);
  for (const [route, { query = {} }] of Object.entries(ROUTES)) {
    const [method = "", path = ""] = route.split(" ");
    for (const [name, kinds] of Object.entries(query)) {
      for (const [kind, order] of kinds.flatMap((one) => [[one, "asc"] as const, [one, "desc"] as const])) {
        const [known, nobodys] = [own[kind], unknownLike(own[kind])];
        const ask = (id: string) => stranger(method, `${path}?order=${order}&limit=100&${name}=${id}`);
        const [foreign, unknown] = await Promise.all([ask(known), ask(nobodys)]);
        expect(foreign.status, `${route}?${name}`).toBe(200);
        for (const id of ids) expect(foreign.text, `${route}?${name}`).not.toContain(id);
        // Of transactions, whose ids count up over all accounts, a cursor is only a place between one's own.
        if (kind !== "transaction") {
          expect(telling(foreign, known), `${route}?${name}`).toBe(telling(unknown, nobodys));
        }
      }
    }
    if (method !== "GET" || path.includes("{") || path.endsWith("/events")) continue;
    const listed = await stranger(method, path);
    for (const id of ids) expect(listed.text, route).not.toContain(id);
    expect(listed.text, route).not.toContain(victim.id);
  }
});

test("a live session that asks for another account's videos hears nothing of them", async () => {
  const listening = await LiveSession.open(product.dev.edge_url, strangerKey, "?starting_after=0");
  const witness = await LiveSession.open(product.dev.edge_url, victim.apiKey, "?starting_after=0");
  listening.send({ type: "subscribe", starting_after: 0, video_ids: [own.done, own.running] });
  await callerOf(product, victim.apiKey)("POST", `/v1/videos/${own.running}/cancel`);
  await witness.until(
    "its owner hears of it",
    (frame) => frame.data?.id === own.running && frame.type === "video.cancelled",
  );
  // A film of the stranger's own comes through once the filter is taken off: the session does hear.
  listening.send({ type: "subscribe", starting_after: 0 });
  const mine = json(await stranger("POST", "/v1/videos", { prompt: "mine", size: "320x192", seconds: 1, steps: 1 }));
  await listening.until("its own film", (frame) => frame.data?.id === mine["id"]);
  const text = JSON.stringify(listening.frames);
  for (const id of [...Object.values(own), victim.id]) expect(text).not.toContain(id);
  await Promise.all([listening.close(), witness.close()]);
});
