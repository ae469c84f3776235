/** `POST /v1/videos/estimate`: the body of a create, checked as a create, that changes nothing. Charged as a read. */
import type { EstimateVideo } from "#protocol/edge-call.ts";
import { passThrough, refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { callControlPlane } from "../control-plane-call.ts";
import { readCreateVideo } from "../create-body.ts";
import { discardBytes } from "../read-bytes.ts";
import { authorized } from "./authorized.ts";
import { methodNotAllowed } from "./refused.ts";

export function addEstimateRoute(app: EdgeApp): void {
  const answer = authorized(estimate);
  app.post("/v1/videos/estimate", async (c) => {
    const answered = await answer(c);
    // Refused by its headers, its type or its size: the client still gets to send it and to read why.
    const refused = answered.status >= 400;
    if (refused && (!c.req.raw.bodyUsed || answered.status === 413)) await discardBytes(c.req.raw.body);
    return answered;
  });
  app.all("/v1/videos/estimate", methodNotAllowed("POST"));
}

async function estimate(c: EdgeContext): Promise<Response> {
  const read = await readCreateVideo(c.req.raw);
  if (!read.ok) return refuse(c, read.refusal);
  const { input_reference: _checked, ...video } = read.value;
  const body: EstimateVideo = { video };
  const { account } = c.get("caller");
  const call = { method: "POST", path: "/edge/v1/videos/estimate", account, body, repeatable: true } as const;
  return passThrough(c, await callControlPlane({ ...call, requestId: c.get("requestId") }, c.get("config")));
}
