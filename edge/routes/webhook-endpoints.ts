/** `/v1/webhook_endpoints` and `/v1/webhook_secret`: where an account's webhooks go, and what signs them. */
import type { z } from "zod";
import { refusalOf } from "#protocol/error.ts";
import { WebhookEndpointId } from "#protocol/id.ts";
import { CreateWebhookEndpoint, ReplayWebhooks, RotateSecret, UpdateWebhookEndpoint } from "#protocol/webhook.ts";
import { passThrough, refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { callControlPlane } from "../control-plane-call.ts";
import type { ControlPlaneCall } from "../control-plane-call.ts";
import { readJson, readOptionalJson } from "../create-body.ts";
import { authorized } from "./authorized.ts";
import { methodNotAllowed } from "./refused.ts";

const BODY_BYTES_MAX = 16 * 1024;
const PATH = "/edge/v1/webhook_endpoints";

export function addWebhookEndpointRoutes(app: EdgeApp): void {
  const list = "/v1/webhook_endpoints";
  app.post(list, authorized(withBody(CreateWebhookEndpoint, (c, body) => forward(c, "POST", PATH, body))));
  app.get(
    list,
    authorized((c) => forward(c, "GET", PATH)),
  );
  app.all(list, methodNotAllowed("GET, POST"));

  const one = `${list}/:id`;
  app.get(one, authorized(withEndpoint((c, path) => forward(c, "GET", path))));
  app.patch(one, authorized(withEndpoint(bodyTo("PATCH", "", UpdateWebhookEndpoint))));
  app.delete(one, authorized(withEndpoint((c, path) => forward(c, "DELETE", path))));
  app.all(one, methodNotAllowed("GET, PATCH, DELETE"));

  app.post(`${one}/rotate_secret`, authorized(withEndpoint(bodyTo("POST", "/rotate_secret", RotateSecret))));
  app.post(`${one}/replay`, authorized(withEndpoint(bodyTo("POST", "/replay", ReplayWebhooks))));
  app.post(`${one}/test`, authorized(withEndpoint((c, path) => forward(c, "POST", `${path}/test`))));
  for (const act of ["rotate_secret", "replay", "test"]) app.all(`${one}/${act}`, methodNotAllowed("POST"));

  const rotate = withBody(RotateSecret, (c, body) => forward(c, "POST", "/edge/v1/webhook_secret/rotate", body));
  app.post("/v1/webhook_secret/rotate", authorized(rotate));
  app.all("/v1/webhook_secret/rotate", methodNotAllowed("POST"));
}

type Handler = (c: EdgeContext) => Promise<Response>;

function withEndpoint(handler: (c: EdgeContext, path: string) => Promise<Response>): Handler {
  return async (c) => {
    const id = WebhookEndpointId.safeParse(c.req.param("id"));
    if (!id.success) return refuse(c, { code: "not_found", message: "No such webhook endpoint." });
    return handler(c, `${PATH}/${id.data}`);
  };
}

function bodyTo(method: "POST" | "PATCH", tail: string, schema: z.ZodType) {
  return (c: EdgeContext, path: string) => withBody(schema, (_, body) => forward(c, method, path + tail, body))(c);
}

function withBody(schema: z.ZodType, act: (c: EdgeContext, body: unknown) => Promise<Response>): Handler {
  return async (c) => {
    // What every field of a body has a default for may be left out.
    const read = schema.safeParse({}).success
      ? await readOptionalJson(c.req.raw, BODY_BYTES_MAX)
      : await readJson(c.req.raw, BODY_BYTES_MAX);
    if (!read.ok) return refuse(c, read.refusal);
    const body = schema.safeParse(read.value);
    return body.success ? act(c, body.data) : refuse(c, refusalOf(body.error));
  };
}

async function forward(c: EdgeContext, method: ControlPlaneCall["method"], path: string, body?: unknown) {
  // A create or rotation that ran twice would leave a secret that nobody has seen: a POST is not repeated blindly.
  const call = { method, path, body, account: c.get("caller").account, repeatable: method !== "POST" };
  return passThrough(c, await callControlPlane({ ...call, requestId: c.get("requestId") }, c.get("config")));
}
