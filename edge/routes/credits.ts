/** `/v1/credits`: what the account can spend, where it comes from and where it went. Read-only. */
import { GrantQuery, TransactionQuery } from "#protocol/credits.ts";
import { refusalOf } from "#protocol/error.ts";
import { passThrough, refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { callControlPlane } from "../control-plane-call.ts";
import { authorized } from "./authorized.ts";
import { methodNotAllowed } from "./refused.ts";

export function addCreditRoutes(app: EdgeApp): void {
  app.get(
    "/v1/credits/balance",
    authorized((c) => read(c, "balance")),
  );
  app.get(
    "/v1/credits/grants",
    authorized((c) => list(c, "grants", GrantQuery)),
  );
  app.get(
    "/v1/credits/transactions",
    authorized((c) => list(c, "transactions", TransactionQuery)),
  );
  for (const what of ["balance", "grants", "transactions"]) app.all(`/v1/credits/${what}`, methodNotAllowed("GET"));
}

function list(c: EdgeContext, what: string, schema: typeof GrantQuery | typeof TransactionQuery) {
  const query = schema.safeParse(c.req.query());
  if (!query.success) return Promise.resolve(refuse(c, refusalOf(query.error)));
  const { limit, order, after } = query.data;
  return read(
    c,
    `${what}?limit=${limit}&order=${order}${after === undefined ? "" : `&after=${encodeURIComponent(after)}`}`,
  );
}

async function read(c: EdgeContext, path: string): Promise<Response> {
  const { account } = c.get("caller");
  const call = { method: "GET", path: `/edge/v1/credits/${path}`, account, repeatable: true } as const;
  return passThrough(c, await callControlPlane({ ...call, requestId: c.get("requestId") }, c.get("config")));
}
