/** `GET /v1/limits` and `GET /v1/models`: what the account may do and how much of it is left; what may be asked for. */
import { AccountStanding, type Limits } from "#protocol/limits.ts";
import { passThrough } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { callControlPlane } from "../control-plane-call.ts";
import { authorized } from "./authorized.ts";
import { methodNotAllowed } from "./refused.ts";

export function addLimitRoutes(app: EdgeApp): void {
  app.get("/v1/limits", authorized(readLimits));
  app.all("/v1/limits", methodNotAllowed("GET"));
  app.get(
    "/v1/models",
    authorized(async (c) => passThrough(c, await ask(c, "/edge/v1/models"))),
  );
  app.all("/v1/models", methodNotAllowed("GET"));
}

/** The caps are the control plane's, the rates are the object's: this very call is counted in them. */
async function readLimits(c: EdgeContext): Promise<Response> {
  const answer = await ask(c, "/edge/v1/limits");
  if (!answer.ok) return passThrough(c, answer);
  const standing = AccountStanding.parse(await answer.json());
  const { limits, create, read } = c.get("rates");
  const view: Limits = {
    object: "limits",
    ...standing,
    create: {
      per_minute: limits.creates_per_minute,
      burst: limits.creates_burst,
      remaining: create.remaining,
      reset_seconds: Math.ceil(create.resetMs / 1_000),
    },
    read: {
      per_minute: limits.reads_per_minute,
      burst: limits.reads_burst,
      remaining: read.remaining,
      reset_seconds: Math.ceil(read.resetMs / 1_000),
    },
  };
  return c.json(view);
}

function ask(c: EdgeContext, path: string): Promise<Response> {
  const call = { method: "GET", path, account: c.get("caller").account, repeatable: true } as const;
  return callControlPlane({ ...call, requestId: c.get("requestId") }, c.get("config"));
}
