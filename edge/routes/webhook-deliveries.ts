/** `/v1/webhook_deliveries`: what was and will be sent to an account's webhook endpoints, and sending one again. */
import { refusalOf } from "#protocol/error.ts";
import { WebhookDeliveryId } from "#protocol/id.ts";
import { DeliveryQuery } from "#protocol/webhook.ts";
import { passThrough, refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { callControlPlane } from "../control-plane-call.ts";
import { authorized } from "./authorized.ts";
import { methodNotAllowed } from "./refused.ts";

const LIST = "/v1/webhook_deliveries";

export function addWebhookDeliveryRoutes(app: EdgeApp): void {
  app.get(LIST, authorized(listDeliveries));
  app.all(LIST, methodNotAllowed("GET"));
  app.get(
    `${LIST}/:id`,
    authorized((c) => ofDelivery(c, "GET", "")),
  );
  app.all(`${LIST}/:id`, methodNotAllowed("GET"));
  app.post(
    `${LIST}/:id/redeliver`,
    authorized((c) => ofDelivery(c, "POST", "/redeliver")),
  );
  app.all(`${LIST}/:id/redeliver`, methodNotAllowed("POST"));
}

async function listDeliveries(c: EdgeContext): Promise<Response> {
  const query = DeliveryQuery.safeParse(c.req.query());
  if (!query.success) return refuse(c, refusalOf(query.error));
  const wanted = Object.entries(query.data).map(([name, value]) => [name, String(value)]);
  return forward(c, "GET", `?${new URLSearchParams(wanted).toString()}`);
}

async function ofDelivery(c: EdgeContext, method: "GET" | "POST", tail: string): Promise<Response> {
  const id = WebhookDeliveryId.safeParse(c.req.param("id"));
  if (!id.success) return refuse(c, { code: "not_found", message: "No such webhook delivery." });
  return forward(c, method, `/${id.data}${tail}`);
}

async function forward(c: EdgeContext, method: "GET" | "POST", tail: string): Promise<Response> {
  const call = { method, path: `/edge${LIST}${tail}`, account: c.get("caller").account, repeatable: method === "GET" };
  return passThrough(c, await callControlPlane({ ...call, requestId: c.get("requestId") }, c.get("config")));
}
