/**
 * The admin listener: its own port, its own tokens, nothing of it reachable through the edge. Terms: `admin-terms.ts`,
 * credits: `admin-credits.ts`, runners: `admin-runners.ts`. Every act is recorded (`usecase/admin-audit.ts`).
 */
import { Hono } from "hono";
import { readAuditLog } from "#control-plane/usecase/admin-audit.ts";
import { createAccount, createKey, endKey, listKeys } from "#control-plane/usecase/administer.ts";
import { bearerOf } from "#control-plane/usecase/check-token.ts";
import type { NamedToken } from "#control-plane/usecase/check-token.ts";
import { AuditQuery } from "#protocol/admin-audit.ts";
import { CreateAccount } from "#protocol/admin.ts";
import type { KeyEnv } from "#protocol/api-key.ts";
import { AccountId } from "#protocol/id.ts";
import type { Sha256Hex } from "#protocol/id.ts";
import { refusalOf } from "#protocol/error.ts";
import { parse, refuse, render } from "./admin-body.ts";
import type { AdminEnv } from "./admin-body.ts";
import { adminCreditRoutes } from "./admin-credits.ts";
import { adminRunnerRoutes } from "./admin-runners.ts";
import type { AdminRunnersHost } from "./admin-runners.ts";
import { termsRoutes } from "./admin-terms.ts";
import type { TermsHost } from "./admin-terms.ts";
import { mintRequestId } from "./request-id.ts";

export interface AdminHost extends TermsHost, AdminRunnersHost {
  /** A name beside each, for the audit log. */
  readonly tokens: readonly NamedToken[];
  readonly scraped: () => Promise<{ readonly type: string; readonly text: string }>;
  readonly keyEnv: KeyEnv;
  /** Tells the edge to forget a revoked key. */
  readonly keyRevoked: (account: AccountId, keySha256: Sha256Hex) => void;
}

const STRICT_HEADERS = { "cache-control": "no-store", "x-content-type-options": "nosniff" };

export function adminApp(host: AdminHost) {
  const app = new Hono<AdminEnv>();
  app.get("/livez", (c) => c.json({ status: "ok" }));
  app.use(async (c, next) => {
    const actor = bearerOf(c.req.header("authorization"), host.tokens);
    if (actor === null) return refuse({ code: "invalid_api_key", message: "A valid admin token is required." });
    const requestId = mintRequestId();
    c.set("operator", { actor, requestId });
    await next();
    for (const [name, value] of Object.entries(STRICT_HEADERS)) c.res.headers.set(name, value);
    c.res.headers.set("x-request-id", requestId);
    return undefined;
  });
  app.get("/metrics", async (c) => {
    const { type, text } = await host.scraped();
    return c.body(text, 200, { "content-type": type });
  });
  app.post("/admin/v1/accounts", async (c) => {
    const wanted = await parse(c, CreateAccount);
    return wanted.ok
      ? render(c, await createAccount(host.database, c.var.operator, wanted.value, host.randomBytes))
      : refuse(wanted.refusal);
  });
  app.post("/admin/v1/accounts/:id/keys", async (c) => {
    const account = AccountId.safeParse(c.req.param("id"));
    if (!account.success) return refuse({ code: "not_found", message: "No such account." });
    return render(c, await createKey(host.database, c.var.operator, account.data, host.keyEnv, host.randomBytes));
  });
  app.get("/admin/v1/accounts/:id/keys", async (c) => {
    const account = AccountId.safeParse(c.req.param("id"));
    if (!account.success) return refuse({ code: "not_found", message: "No such account." });
    const keys = await listKeys(host.database, account.data);
    return keys.ok ? c.json({ object: "list", data: keys.value.data }) : refuse(keys.refusal);
  });
  app.delete("/admin/v1/keys/:id", async (c) => {
    const ended = await endKey(host.database, c.var.operator, c.req.param("id"));
    if (!ended.ok) return refuse(ended.refusal);
    host.keyRevoked(ended.value.account, ended.value.keySha256);
    return c.json({ id: c.req.param("id"), object: "api_key.deleted", deleted: true });
  });
  app.get("/admin/v1/audit_log", async (c) => {
    const query = AuditQuery.safeParse(c.req.query());
    if (!query.success) return refuse(refusalOf(query.error));
    return c.json({ object: "list", ...(await readAuditLog(host.database.sql, query.data.after, query.data.limit)) });
  });
  app.route("/admin/v1", adminCreditRoutes(host.database));
  app.route("/admin/v1", adminRunnerRoutes(host));
  app.route("/admin/v1", termsRoutes(host));
  app.notFound(() => refuse({ code: "not_found", message: "No such admin route." }));
  return app;
}
