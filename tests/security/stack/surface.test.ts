/** What is served to whom: the routes, their methods, their headers, and an operator's side that no customer reaches. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { adminApp } from "#control-plane/http/admin.ts";
import { ErrorEnvelope } from "#protocol/error.ts";
import { OPERATIONS } from "#protocol/openapi.ts";
import { Video } from "#protocol/video.ts";
import { controlPlaneOf, until } from "#tests/support/product.ts";
import type { Product } from "#tests/support/product.ts";
import { callerOf, joinStack, json } from "../stack.ts";
import type { Answered, Call } from "../stack.ts";

let product: Product;
let call: Call;
let apiKey: string;
let video: string;
beforeAll(async () => {
  product = joinStack();
  ({ apiKey } = await product.account("pro"));
  call = callerOf(product, apiKey);
  const film = { prompt: "a film", size: "320x192", seconds: 1, steps: 1 };
  video = Video.parse(json(await call("POST", "/v1/videos", film))).id;
  await until(
    "it is done",
    60_000,
    async () => json(await call("GET", `/v1/videos/${video}`))["status"] === "completed",
  );
});
afterAll(() => product.stop());

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] as const;
/** What is the same in every answer, and what else may be there. */
const EVERYWHERE = {
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "cache-control": "no-store",
} as const;
const ALLOWED: ReadonlySet<string> = new Set([
  ...Object.keys(EVERYWHERE),
  "x-request-id",
  "date",
  "content-type",
  "content-length",
  "transfer-encoding",
  "connection",
  "allow",
  "upgrade",
  // Of a stream: a proxy in between passes every event on at once.
  "x-accel-buffering",
  "etag",
  "accept-ranges",
  "content-disposition",
  "openai-poll-after-ms",
  "retry-after",
  "retry-after-ms",
  "x-should-retry",
  "ratelimit",
  "ratelimit-policy",
  "x-ratelimit-limit-requests",
  "x-ratelimit-remaining-requests",
  "x-ratelimit-reset-requests",
]);

function expectSafe(route: string, { headers, text, status }: Answered): void {
  expect(headers, route).toMatchObject(EVERYWHERE);
  expect(headers["x-request-id"], route).toMatch(/^req_[0-9a-f]{32}$/);
  for (const name of Object.keys(headers)) expect(ALLOWED, `${route} sends ${name}`).toContain(name);
  if (status < 400) return;
  expect(ErrorEnvelope.safeParse(JSON.parse(text)).success, route).toBe(true);
  // No word of how it is made inside.
  expect(text, route).not.toMatch(/ at .*:\d+:\d+|node_modules|\.ts\b|postgres|select |workerd|127\.0\.0\.1/i);
}

test("every route answers every method: the documented ones, and 405 with `Allow` to the others; always with safe headers", async () => {
  for (const [template, documented] of Object.entries(OPERATIONS)) {
    const path = template.replace("{id}", video);
    const allowed = new Set(Object.keys(documented).map((method) => method.toUpperCase()));
    for (const method of METHODS) {
      const answer = await call(
        method,
        path,
        method === "GET" || method === "DELETE" || method === "OPTIONS" ? undefined : {},
      );
      const route = `${method} ${template}`;
      expectSafe(route, answer);
      if (allowed.has(method)) {
        // The id of a video names no endpoint and no delivery.
        expect([200, 400, 404, 409, 426], route).toContain(answer.status);
        if (method === "DELETE" && answer.status === 200) video = await another();
        continue;
      }
      expect(answer.status, route).toBe(405);
      expect(new Set((answer.headers["allow"] ?? "").split(", ")), route).toEqual(allowed);
    }
  }
});

async function another(): Promise<string> {
  return Video.parse(json(await call("POST", "/v1/videos", { prompt: "next", size: "320x192", seconds: 1, steps: 1 })))
    .id;
}

test("a video's bytes come as a file of a fixed type, never as a page", async () => {
  const film = { prompt: "a film", size: "320x192", seconds: 1, steps: 1 };
  const id = Video.parse(json(await call("POST", "/v1/videos", film))).id;
  await until("it is done", 60_000, async () => json(await call("GET", `/v1/videos/${id}`))["status"] === "completed");
  const answer = await call("GET", `/v1/videos/${id}/content`);
  expectSafe("content", answer);
  expect(answer.headers).toMatchObject({
    "content-type": "video/mp4",
    "content-disposition": `attachment; filename="${id}.mp4"`,
  });
});

test("an error says nothing of the inside, and a browser of another origin is allowed nothing", async () => {
  for (const path of [
    "/",
    "/nothing",
    "/v1/nothing",
    "/v1/videos/%ff",
    "/v1/videos?limit=x",
    "/%00",
    "/v1/videos/a/b/c",
  ]) {
    expectSafe(path, await call("GET", path));
  }
  const answer = await fetch(`${product.dev.edge_url}/v1/videos`, {
    method: "OPTIONS",
    headers: { origin: "https://evil.test" },
  });
  expect([...answer.headers.keys()].filter((name) => name.startsWith("access-control-"))).toEqual([]);
});

/** Of the very app that serves them. */
function adminRoutes(): readonly (readonly [string, string])[] {
  const app = adminApp({ database: {} } as Parameters<typeof adminApp>[0]);
  return app.routes
    .filter(({ method }) => method !== "ALL")
    .map(({ method, path }) => [method, path.replaceAll(/:\w+(\{[^}]*\})?/g, "x")] as const);
}

test("no admin route answers a customer's key, no key, a runner's or a nearly right token; only `/livez` says that it lives", async () => {
  const routes = adminRoutes();
  expect(routes.length).toBeGreaterThan(15);
  const tokens = [apiKey, "", product.dev.admin_token.slice(0, -1), `${product.dev.admin_token}x`, "undefined", "null"];
  for (const [method, path] of routes) {
    for (const token of path === "/livez" ? [] : tokens) {
      const headers: Record<string, string> = token === "" ? {} : { authorization: `Bearer ${token}` };
      const answer = await fetch(product.dev.admin_url + path, { method, headers });
      const text = await answer.text();
      expect(answer.status, `${method} ${path}`).toBe(401);
      expect(ErrorEnvelope.parse(JSON.parse(text)).error.code, `${method} ${path}`).toBe("invalid_api_key");
    }
  }
});

test("through the edge no admin, metrics, peer, store or runner route exists, with whatever token and spelling", async () => {
  const inner = [
    "/metrics",
    "/livez",
    "/readyz",
    "/edge/v1/videos",
    "/peer/v1/explain",
    "/store/v1/references/x",
    "/runner/v1",
  ];
  const paths = [...new Set([...adminRoutes().map(([, path]) => path), ...inner])];
  const spellings = (path: string) => [
    path,
    `/v1${path}`,
    `/v1/..${path}`,
    `/v1/%2e%2e${path}`,
    `/${path}`,
    `${path}/`,
  ];
  for (const path of paths.flatMap(spellings)) {
    for (const token of [apiKey, product.dev.admin_token]) {
      for (const method of ["GET", "POST"]) {
        const answer = await callerOf(product, token)(method, path);
        // A spelling may be another path's: `/v1/videos/x` is a video that nobody has.
        expect([401, 404, 405], `${method} ${path}`).toContain(answer.status);
      }
    }
  }
});

test("on the main listener nothing of the operator is served, and nothing of the edge without its signature", async () => {
  const url = await controlPlaneOf(product);
  for (const [method, path] of adminRoutes().filter(([, route]) => route !== "/livez")) {
    const headers = { authorization: `Bearer ${product.dev.admin_token}` };
    expect((await fetch(url + path, { method, headers })).status, `${method} ${path}`).toBe(404);
  }
  for (const path of ["/edge/v1/videos", "/edge/v1/events", "/edge/v1/credits/balance", "/edge/v1/webhook_endpoints"]) {
    const answer = await fetch(url + path, { headers: { "x-callsheet-account": "acct_0123456789abcdef" } });
    expect(answer.status, path).toBe(401);
  }
});
