import { afterAll, beforeAll, expect, test } from "vitest";
import { Product } from "#tests/support/product.ts";

let product: Product;
beforeAll(async () => {
  product = await Product.start({ CALLSHEET_RUNNERS: "0" });
});
afterAll(() => product.stop());

interface Sent {
  readonly status: number;
  readonly body: {
    readonly error: { readonly message: string; readonly type: string; readonly param: unknown; readonly code: string };
  };
}

async function send(
  body: string | FormData,
  headers: Record<string, string> = {},
  key = product.key("pro"),
): Promise<Sent> {
  const response = await fetch(`${product.dev.edge_url}/v1/videos`, {
    method: "POST",
    headers: { authorization: `Bearer ${key}`, ...headers },
    body,
  });
  return { status: response.status, body: (await response.json()) as Sent["body"] };
}

const json = (value: unknown) => send(JSON.stringify(value), { "content-type": "application/json" });
function form(fields: Record<string, string>) {
  const data = new FormData();
  for (const [name, value] of Object.entries(fields)) data.set(name, value);
  return send(data);
}

test.each<[string, () => Promise<Sent>, number, string | null]>([
  ["no prompt", () => json({}), 400, "prompt"],
  ["an empty prompt", () => form({ prompt: "  " }), 400, "prompt"],
  ["a prompt of 40,000 characters", () => form({ prompt: "x".repeat(40_000) }), 400, "prompt"],
  ["an unknown size", () => form({ prompt: "x", size: "7x7" }), 400, "size"],
  ["a size the model does not render", () => form({ prompt: "x", size: "640x360" }), 400, "size"],
  ["seconds abc", () => form({ prompt: "x", seconds: "abc" }), 400, "seconds"],
  ["61 seconds", () => json({ prompt: "x", seconds: 61 }), 400, "seconds"],
  ["a negative seed", () => json({ prompt: "x", seed: -1 }), 400, "seed"],
  ["an unknown model", () => json({ prompt: "x", model: "sora-9" }), 400, "model"],
  ["a field that does not exist", () => json({ prompt: "x", duration: 4 }), 400, "duration"],
  ["metadata that is not a map of text", () => json({ prompt: "x", metadata: { a: 1 } }), 400, "metadata.a"],
  ["size and resolution at once", () => json({ prompt: "x", size: "1280x720", resolution: "720p" }), 400, "resolution"],
  ["broken multipart", () => send("--x\r\nbroken", { "content-type": "multipart/form-data; boundary=x" }), 400, null],
  ["broken JSON", () => send("{", { "content-type": "application/json" }), 400, null],
  ["10 MB of JSON", () => json({ prompt: "x".repeat(10_000_000) }), 400, "prompt"],
  ["30 MB of JSON", () => json({ prompt: "x".repeat(30_000_000) }), 413, null],
  ["deep JSON", () => send("[".repeat(200_000), { "content-type": "application/json" }), 400, null],
  ["text", () => send("x", { "content-type": "text/plain" }), 415, null],
  ["a wrong key", () => send("{}", { "content-type": "application/json" }, "cs_dev_wrong"), 401, null],
])("%s is refused with a 4xx that names the parameter", async (_what, call, status, param) => {
  const answer = await call();
  expect(answer.status, JSON.stringify(answer.body)).toBe(status);
  expect(answer.body.error).toMatchObject({
    message: expect.any(String) as string,
    type: expect.any(String) as string,
    param,
  });
  expect(answer.body.error.code).toMatch(/^[a-z_]+$/);
  expect(await product.sql`select 1 from job`).toHaveLength(0);
  expect(await product.sql`select 1 from event`).toHaveLength(0);
});

test("a key with one wrong character is refused, and a revoked key within seconds", async () => {
  const { id, apiKey } = await product.account("free");
  const typo = apiKey.slice(0, -1) + (apiKey.endsWith("a") ? "b" : "a");
  const get = async (key: string) =>
    (await fetch(`${product.dev.edge_url}/v1/videos`, { headers: { authorization: `Bearer ${key}` } })).status;
  expect(await get(typo)).toBe(401);
  expect(await get(apiKey)).toBe(200);
  const [row] = await product.sql`select id from api_key where account_id = ${id}`;
  await product.admin("DELETE", `/keys/${String(row?.["id"])}`);
  const deadlineMs = performance.now() + 5_000;
  while ((await get(apiKey)) !== 401) expect(performance.now()).toBeLessThan(deadlineMs);
});

test("an account over its rate of creates gets 429 with Retry-After", async () => {
  const { apiKey } = await product.account("free");
  const statuses: number[] = [];
  let retryAfter: string | null = null;
  for (let n = 0; n < 40; n++) {
    const data = new FormData();
    // Well formed, and refused by the control plane: it counts.
    data.set("prompt", "a fox");
    data.set("model", "no-such-model");
    const response = await fetch(`${product.dev.edge_url}/v1/videos`, {
      method: "POST",
      headers: { authorization: `Bearer ${apiKey}` },
      body: data,
    });
    statuses.push(response.status);
    if (response.status === 429) retryAfter = response.headers.get("retry-after");
  }
  expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(0);
  expect(Number(retryAfter)).toBeGreaterThanOrEqual(1);
  expect(Number(retryAfter)).toBeLessThanOrEqual(60);
});
