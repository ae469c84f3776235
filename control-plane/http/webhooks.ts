/** The edge's calls about webhooks: endpoints, their secrets, and the deliveries made to them. */
import { Hono } from "hono";
import type { Context } from "hono";
import type { z } from "zod";
import type { Database } from "#control-plane/db/connect.ts";
import {
  createEndpoint,
  deleteEndpoint,
  listEndpoints,
  NO_ENDPOINT,
  readEndpoint,
  rotateAccountSecret,
  rotateSecret,
  updateEndpoint,
} from "#control-plane/usecase/webhook-endpoints.ts";
import { readDeliveries, readDelivery, replayTo, sendAgain, sendTest } from "#control-plane/usecase/webhook-log.ts";
import { refusalOf, renderRefusal } from "#protocol/error.ts";
import type { Refusal } from "#protocol/error.ts";
import { WebhookDeliveryId, WebhookEndpointId } from "#protocol/id.ts";
import {
  CreateWebhookEndpoint,
  DeliveryQuery,
  ReplayWebhooks,
  RotateSecret,
  UpdateWebhookEndpoint,
} from "#protocol/webhook.ts";
import { jsonOf } from "./signed.ts";
import type { SignedVariables } from "./signed.ts";

/** What is wrong with an address that webhooks shall be sent to; null: nothing. */
export interface WebhookGuard {
  /** As far as it shows without a name server. */
  readonly fault: (url: string) => string | null;
  readonly faultAsResolved: (url: string) => Promise<string | null>;
}

export interface WebhooksHost {
  readonly database: Database;
  readonly randomSecret: () => string;
  readonly webhookGuard: WebhookGuard;
}

type SignedContext = Context<{ Variables: SignedVariables }>;

export function webhookRoutes(host: WebhooksHost) {
  const { database, randomSecret } = host;
  return new Hono<{ Variables: SignedVariables }>()
    .post("/webhook_endpoints", (c) =>
      withBody(c, CreateWebhookEndpoint, async (wanted) => {
        const refusal = await refusalOfUrl(host, wanted.url);
        return refusal ?? createEndpoint(database, c.var.account, wanted, randomSecret());
      }),
    )
    .get("/webhook_endpoints", async (c) =>
      c.json({ object: "list", data: await listEndpoints(database, c.var.account) }),
    )
    .get("/webhook_endpoints/:id", (c) => withEndpoint(c, (id) => readEndpoint(database, c.var.account, id)))
    .patch("/webhook_endpoints/:id", (c) =>
      withEndpoint(c, (id) =>
        parsed(c, UpdateWebhookEndpoint, async (wanted) => {
          const refusal = wanted.url === undefined ? null : await refusalOfUrl(host, wanted.url);
          return refusal ?? updateEndpoint(database, c.var.account, id, wanted);
        }),
      ),
    )
    .delete("/webhook_endpoints/:id", (c) =>
      withEndpoint(c, async (id) =>
        (await deleteEndpoint(database, c.var.account, id))
          ? { id, object: "webhook_endpoint.deleted", deleted: true }
          : NO_ENDPOINT,
      ),
    )
    .post("/webhook_endpoints/:id/rotate_secret", (c) =>
      withEndpoint(c, (id) =>
        parsed(c, RotateSecret, (wanted) => rotateSecret(database, c.var.account, id, wanted, randomSecret())),
      ),
    )
    .post("/webhook_endpoints/:id/test", (c) =>
      withEndpoint(c, async (id) => {
        const endpoint = await readEndpoint(database, c.var.account, id);
        return "code" in endpoint ? endpoint : sendTest(database.sql, c.var.account, id);
      }),
    )
    .post("/webhook_endpoints/:id/replay", (c) =>
      withEndpoint(c, async (id) => {
        const endpoint = await readEndpoint(database, c.var.account, id);
        if ("code" in endpoint) return endpoint;
        return parsed(c, ReplayWebhooks, (wanted) => replayTo(database.sql, c.var.account, endpoint, wanted));
      }),
    )
    .post("/webhook_secret/rotate", (c) =>
      withBody(c, RotateSecret, (wanted) => rotateAccountSecret(database, c.var.account, wanted, randomSecret())),
    )
    .get("/webhook_deliveries", async (c) => {
      const query = DeliveryQuery.safeParse(c.req.query());
      if (!query.success) return renderRefusal(refusalOf(query.error), c.var.requestId);
      return c.json(await readDeliveries(database.sql, c.var.account, query.data));
    })
    .get("/webhook_deliveries/:id", (c) => withDelivery(c, (id) => readDelivery(database.sql, c.var.account, id)))
    .post("/webhook_deliveries/:id/redeliver", (c) =>
      withDelivery(c, (id) => sendAgain(database.sql, c.var.account, id)),
    );
}

async function refusalOfUrl({ webhookGuard }: WebhooksHost, url: string): Promise<Refusal | null> {
  const fault = await webhookGuard.faultAsResolved(url);
  return fault === null ? null : { code: "invalid_value", param: "url", message: `Invalid 'url': ${fault}` };
}

/** An id of the wrong shape, an unknown one and another account's are the same 404. */
async function withEndpoint(c: SignedContext, act: (id: WebhookEndpointId) => Promise<object>): Promise<Response> {
  const id = WebhookEndpointId.safeParse(c.req.param("id"));
  return answer(c, id.success ? await act(id.data) : NO_ENDPOINT);
}

async function withDelivery(c: SignedContext, act: (id: WebhookDeliveryId) => Promise<object>): Promise<Response> {
  const id = WebhookDeliveryId.safeParse(c.req.param("id"));
  return answer(c, id.success ? await act(id.data) : { code: "not_found", message: "No such webhook delivery." });
}

async function withBody<Body>(c: SignedContext, schema: z.ZodType<Body>, act: (body: Body) => Promise<object>) {
  return answer(c, await parsed(c, schema, act));
}

async function parsed<Body>(
  c: SignedContext,
  schema: z.ZodType<Body>,
  act: (body: Body) => Promise<object>,
): Promise<object> {
  const body = schema.safeParse(jsonOf(c.var.body));
  return body.success ? act(body.data) : refusalOf(body.error);
}

function answer(c: SignedContext, told: object): Response {
  return "code" in told ? renderRefusal(told as Refusal, c.var.requestId) : c.json(told);
}
