/** `/v1/webhook_endpoints`: where an account's webhooks go. */
import { refusalOf } from "#protocol/error.ts";
import { CreateWebhookEndpoint, WebhookEndpoint } from "#protocol/webhook.ts";
import { passThrough, refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { callControlPlane } from "../control-plane-call.ts";
import { readJson } from "../create-body.ts";
import { authorized } from "./authorized.ts";
import { methodNotAllowed } from "./refused.ts";

const BODY_BYTES_MAX = 16 * 1024;
const PATH = "/edge/v1/webhook_endpoints";

export function addWebhookEndpointRoutes(app: EdgeApp): void {
  app.post("/v1/webhook_endpoints", authorized(createEndpoint));
  app.get(
    "/v1/webhook_endpoints",
    authorized((c) => forward(c, "GET", PATH)),
  );
  app.all("/v1/webhook_endpoints", methodNotAllowed("GET, POST"));
  app.delete("/v1/webhook_endpoints/:id", authorized(deleteEndpoint));
  app.all("/v1/webhook_endpoints/:id", methodNotAllowed("DELETE"));
}

async function createEndpoint(c: EdgeContext): Promise<Response> {
  const read = await readJson(c.req.raw, BODY_BYTES_MAX);
  if (!read.ok) return refuse(c, read.refusal);
  const body = CreateWebhookEndpoint.safeParse(read.value);
  if (!body.success) return refuse(c, refusalOf(body.error));
  return forward(c, "POST", PATH, body.data);
}

async function deleteEndpoint(c: EdgeContext): Promise<Response> {
  const id = WebhookEndpoint.shape.id.safeParse(c.req.param("id"));
  if (!id.success) return refuse(c, { code: "not_found", message: "No such webhook endpoint." });
  return forward(c, "DELETE", `${PATH}/${id.data}`);
}

async function forward(c: EdgeContext, method: "GET" | "POST" | "DELETE", path: string, body?: CreateWebhookEndpoint) {
  // A create that ran twice would leave two endpoints, and nothing names the first: it is not repeated blindly.
  const call = { method, path, body, account: c.get("caller").account, repeatable: method !== "POST" };
  return passThrough(c, await callControlPlane({ ...call, requestId: c.get("requestId") }, c.get("config")));
}
