/** An address that must not be called is refused when it is asked for, by the name of its field; as outside development. */
import { Hono } from "hono";
import { afterAll, beforeAll, expect, test } from "vitest";
import { PUBLIC_ONLY, urlFault, urlFaultAsResolved } from "#control-plane/egress/address-guard.ts";
import type { SignedVariables } from "#control-plane/http/signed.ts";
import { webhookRoutes } from "#control-plane/http/webhooks.ts";
import { RequestId } from "#protocol/id.ts";
import type { AccountId } from "#protocol/id.ts";
import { WebhookEndpoint, WebhookEndpointList } from "#protocol/webhook.ts";
import { NameServer } from "#tests/support/name-server.ts";
import { Studio } from "#tests/support/studio.ts";

const SECRET = `whsec_${Buffer.alloc(32, 9).toString("base64")}`;
const ZONE: Readonly<Record<string, readonly string[]>> = {
  "good.example.com": ["93.184.215.14"],
  "inner.example.com": ["10.0.0.7"],
};

let studio: Studio;
let names: NameServer;
let account: AccountId;
beforeAll(async () => {
  studio = await Studio.open();
  names = await NameServer.start((name) => ZONE[name] ?? []);
  account = await studio.account("pro");
});
afterAll(async () => {
  await names.stop();
  await studio.close();
});

async function call(method: string, path: string, body: unknown) {
  const bytes = new TextEncoder().encode(JSON.stringify(body));
  const resolver = names.resolver();
  const app = new Hono<{ Variables: SignedVariables }>()
    .use(async (c, next) => {
      c.set("account", account);
      c.set("requestId", RequestId.parse(`req_${"0".repeat(32)}`));
      c.set("body", bytes);
      await next();
    })
    .route(
      "/",
      webhookRoutes({
        database: studio.database,
        randomSecret: () => SECRET,
        webhookGuard: {
          fault: (url) => urlFault(url, PUBLIC_ONLY),
          faultAsResolved: (url) => urlFaultAsResolved(url, PUBLIC_ONLY, resolver),
        },
      }),
    );
  const answer = await app.request(path, { method });
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
}

test.each([
  ["http://good.example.com/", "must be an https URL."],
  ["https://good.example.com:9443/", "must have port 443 or 8443."],
  ["https://127.0.0.1/", "must have a public address."],
  ["https://[::ffff:10.0.0.1]/", "must have a public address."],
  ["https://2130706433/", "must have a public address."],
  ["https://inner.example.com/", "must resolve to public addresses only."],
])("an endpoint at %s is refused: its url %s", async (url, fault) => {
  const refused = {
    status: 400,
    body: { error: { code: "invalid_value", param: "url", message: `Invalid 'url': ${fault}` } },
  };
  expect(await call("POST", "/webhook_endpoints", { url })).toMatchObject(refused);
});

test("a public address is taken, also of a name that nobody knows yet; a change of it is checked as the create is", async () => {
  const created = await call("POST", "/webhook_endpoints", { url: "https://good.example.com/hook" });
  const endpoint = WebhookEndpoint.parse(created.body);
  expect(endpoint.secret).toBe(SECRET);
  const path = `/webhook_endpoints/${endpoint.id}`;
  expect(await call("PATCH", path, { url: "https://inner.example.com/" })).toMatchObject({ status: 400 });
  expect((await call("PATCH", path, { url: "https://later.example.com:8443/" })).body).toMatchObject({
    url: "https://later.example.com:8443/",
  });
  const listed = WebhookEndpointList.parse((await call("GET", "/webhook_endpoints", null)).body);
  expect(listed.data.map(({ id, secret }) => [id, secret])).toEqual([[endpoint.id, undefined]]);
});
