/** The admin listener: its own port, its own token, nothing of it reachable through the edge. Terms: `admin-terms.ts`, credits: `admin-credits.ts`. */
import { Hono } from "hono";
import { createAccount, createKey, endKey, listRunners } from "#control-plane/usecase/administer.ts";
import { bearerMatches } from "#control-plane/usecase/check-token.ts";
import { CreateAccount } from "#protocol/admin.ts";
import type { AdminRunnerList } from "#protocol/admin.ts";
import type { KeyEnv } from "#protocol/api-key.ts";
import { AccountId } from "#protocol/id.ts";
import type { RunnerId, Sha256Hex } from "#protocol/id.ts";
import type { z } from "zod";
import { parse, refuse, render } from "./admin-body.ts";
import { adminCreditRoutes } from "./admin-credits.ts";
import { termsRoutes } from "./admin-terms.ts";
import type { TermsHost } from "./admin-terms.ts";

export interface AdminHost extends TermsHost {
  readonly token: string;
  readonly scraped: () => Promise<{ readonly type: string; readonly text: string }>;
  readonly keyEnv: KeyEnv;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly runnerStates: () => ReadonlyMap<RunnerId, "connected" | "draining">;
  /** Tells the edge to forget a revoked key. */
  readonly keyRevoked: (account: AccountId, keySha256: Sha256Hex) => void;
}

export function adminApp(host: AdminHost) {
  const app = new Hono();
  app.get("/livez", (c) => c.json({ status: "ok" }));
  app.use(async (c, next) => {
    if (!bearerMatches(c.req.header("authorization"), host.token))
      return refuse({ code: "invalid_api_key", message: "A valid admin token is required." });
    return next();
  });
  app.get("/metrics", async (c) => {
    const { type, text } = await host.scraped();
    return c.body(text, 200, { "content-type": type });
  });
  app.post("/admin/v1/accounts", async (c) => {
    const wanted = await parse(c, CreateAccount);
    return wanted.ok
      ? render(c, await createAccount(host.database, wanted.value, host.randomBytes))
      : refuse(wanted.refusal);
  });
  app.post("/admin/v1/accounts/:id/keys", async (c) => {
    const account = AccountId.safeParse(c.req.param("id"));
    if (!account.success) return refuse({ code: "not_found", message: "No such account." });
    return render(c, await createKey(host.database, account.data, host.keyEnv, host.randomBytes));
  });
  app.delete("/admin/v1/keys/:id", async (c) => {
    const ended = await endKey(host.database, c.req.param("id"));
    if (!ended.ok) return refuse(ended.refusal);
    host.keyRevoked(ended.value.account, ended.value.keySha256);
    return c.json({ id: c.req.param("id"), object: "api_key.deleted", deleted: true });
  });
  app.get("/admin/v1/runners", async (c) => {
    const data = await listRunners(host.database, host.runnerStates());
    const list: z.infer<typeof AdminRunnerList> = { object: "list", data: [...data] };
    return c.json(list);
  });
  app.route("/admin/v1", adminCreditRoutes(host.database));
  app.route("/admin/v1", termsRoutes(host));
  app.notFound(() => refuse({ code: "not_found", message: "No such admin route." }));
  return app;
}
