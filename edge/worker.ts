/**
 * The edge: the public API, one Durable Object per account, signed calls to and from the control plane.
 *
 * Promises: every answer carries `x-request-id` and strict headers, every failure the error envelope; a fault tells the
 * client nothing of our insides.
 */
import { Hono } from "hono";
import { refuse } from "./answer.ts";
import type { EdgeApp, EdgeContext } from "./app.ts";
import { ControlPlaneUnreachable } from "./control-plane-call.ts";
import { type RateReport, rateHeaders } from "./core/rate-headers.ts";
import { configOf } from "./env.ts";
import { logFault } from "./log.ts";
import { mintRequestId } from "./random-id.ts";
import { BrokenBodyError } from "./read-bytes.ts";
import { UNREACHABLE } from "./refusals.ts";
import { setStrictHeaders } from "./strict-headers.ts";
import { addContentRoute } from "./routes/content.ts";
import { addCreditRoutes } from "./routes/credits.ts";
import { addEstimateRoute } from "./routes/estimate.ts";
import { addEventsRoutes } from "./routes/events.ts";
import { addLimitRoutes } from "./routes/limits.ts";
import { addPushRoute } from "./routes/push.ts";
import { addDeriveRoutes } from "./routes/derive.ts";
import { addUnsupportedRoutes, methodNotAllowed, notFound } from "./routes/refused.ts";
import { addSessionRoute } from "./routes/sessions.ts";
import { addVideoRoutes } from "./routes/videos.ts";
import { addWebhookDeliveryRoutes } from "./routes/webhook-deliveries.ts";
import { addWebhookEndpointRoutes } from "./routes/webhook-endpoints.ts";

export { AccountSession } from "./account-session.ts";

const app: EdgeApp = new Hono();

app.use(async (c, next) => {
  c.set("requestId", mintRequestId());
  await next();
  // The object has written the headers of a 101 itself; the runtime lets nobody change them.
  if (c.res.status === 101) return;
  c.res.headers.set("x-request-id", c.get("requestId"));
  // Nobody's, unless the key was good.
  const rates = c.get("rates") as RateReport | undefined;
  for (const [name, value] of Object.entries(rates === undefined ? {} : rateHeaders(rates))) {
    c.res.headers.set(name, value);
  }
  setStrictHeaders(c.res.headers, c.env.CALLSHEET_ENV);
});

// Inside the first step, so that the answer to a wrong setting is an error like any other.
app.use(async (c, next) => {
  c.set("config", configOf(c.env));
  await next();
});

app.get("/healthz", (c) => c.json({ status: "ok" }));
app.all("/healthz", methodNotAllowed("GET"));
// Order matters: fixed names under /v1/videos come before `:id`.
addEventsRoutes(app);
addSessionRoute(app);
addEstimateRoute(app);
addUnsupportedRoutes(app);
addDeriveRoutes(app);
addVideoRoutes(app);
addContentRoute(app);
addCreditRoutes(app);
addLimitRoutes(app);
addWebhookEndpointRoutes(app);
addWebhookDeliveryRoutes(app);
addPushRoute(app);
app.notFound(notFound);
app.onError(fault);

function fault(error: Error, c: EdgeContext): Response {
  if (error instanceof BrokenBodyError) {
    return refuse(c, { code: "invalid_body", message: "The request body could not be read to its end." });
  }
  logFault("A request failed", error, { request_id: c.get("requestId"), path: c.req.path });
  if (error instanceof ControlPlaneUnreachable || isReset(error)) return refuse(c, UNREACHABLE);
  return refuse(c, { code: "internal_error", message: "Something went wrong on our side. Please try again." });
}

/** The account's object was restarted under the call; the next one finds it again. */
function isReset(error: Error): boolean {
  return "durableObjectReset" in error && error.durableObjectReset === true;
}

export default app;
