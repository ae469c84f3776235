/** The edge's calls about an account's credits. */
import { Hono } from "hono";
import type { Database } from "#control-plane/db/connect.ts";
import { readBalance, readGrants, readTransactions } from "#control-plane/usecase/read-credits.ts";
import { GrantQuery, TransactionQuery } from "#protocol/credits.ts";
import { refusalOf, renderRefusal } from "#protocol/error.ts";
import type { SignedVariables } from "./signed.ts";

export function creditRoutes({ sql }: Database) {
  return new Hono<{ Variables: SignedVariables }>()
    .get("/balance", async (c) => c.json(await readBalance(sql, c.var.account)))
    .get("/grants", async (c) => {
      const query = GrantQuery.safeParse(c.req.query());
      if (!query.success) return renderRefusal(refusalOf(query.error), c.var.requestId);
      return c.json(await readGrants(sql, c.var.account, query.data));
    })
    .get("/transactions", async (c) => {
      const query = TransactionQuery.safeParse(c.req.query());
      if (!query.success) return renderRefusal(refusalOf(query.error), c.var.requestId);
      return c.json(await readTransactions(sql, c.var.account, query.data));
    });
}
