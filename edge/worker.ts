/**
 * The edge: the public API, one Durable Object per account, signed calls to and from the control plane.
 *
 * Promises: every answer carries `x-request-id`, every failure the error envelope; a fault tells the client nothing of
 * our insides.
 */
import { Hono } from "hono";
import { refuse } from "./answer.ts";
import type { EdgeApp, EdgeContext } from "./app.ts";
import { ControlPlaneUnreachable } from "./control-plane-call.ts";
import { readConfig } from "./env.ts";
import { logFault } from "./log.ts";
import { mintRequestId } from "./random-id.ts";
import { UNREACHABLE } from "./refusals.ts";
import { addContentRoute } from "./routes/content.ts";
import { addCreditRoutes } from "./routes/credits.ts";
import { addEstimateRoute } from "./routes/estimate.ts";
import { addEventsRoutes } from "./routes/events.ts";
import { addPushRoute } from "./routes/push.ts";
import { addUnsupportedRoutes, methodNotAllowed, notFound } from "./routes/refused.ts";
import { addSessionRoute } from "./routes/sessions.ts";
import { addVideoRoutes } from "./routes/videos.ts";
import { addWebhookDeliveryRoutes } from "./routes/webhook-deliveries.ts";
import { addWebhookEndpointRoutes } from "./routes/webhook-endpoints.ts";

export { AccountSession } from "./account-session.ts";

const app: EdgeApp = new Hono();

app.use(async (c, next) => {
  c.set("requestId", mintRequestId());
  c.set("extraHeaders", {});
  c.set("config", readConfig(c.env));
  await next();
  // The object has written the headers of a 101 itself; the runtime lets nobody change them.
  if (c.res.status === 101) return;
  c.res.headers.set("x-request-id", c.get("requestId"));
  for (const [name, value] of Object.entries(c.get("extraHeaders"))) c.res.headers.set(name, value);
});

app.get("/healthz", (c) => c.json({ status: "ok" }));
app.all("/healthz", methodNotAllowed("GET"));
// Order matters: fixed names under /v1/videos come before `:id`.
addEventsRoutes(app);
addSessionRoute(app);
addEstimateRoute(app);
addUnsupportedRoutes(app);
addVideoRoutes(app);
addContentRoute(app);
addCreditRoutes(app);
addWebhookEndpointRoutes(app);
addWebhookDeliveryRoutes(app);
addPushRoute(app);
app.notFound(notFound);
app.onError(fault);

function fault(error: Error, c: EdgeContext): Response {
  logFault("A request failed", error, { request_id: c.get("requestId"), path: c.req.path });
  if (error instanceof ControlPlaneUnreachable || isReset(error)) return refuse(c, UNREACHABLE);
  return refuse(c, { code: "internal_error", message: "Something went wrong on our side. Please try again." });
}

/** The account's object was restarted under the call; the next one finds it again. */
function isReset(error: Error): boolean {
  return "durableObjectReset" in error && error.durableObjectReset === true;
}

export default app;
