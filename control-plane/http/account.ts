/** The edge's other calls for an account: keys, events, the live subscription, webhook endpoints. */
import { Hono } from "hono";
import { z } from "zod";
import type { Database } from "#control-plane/db/connect.ts";
import { setSubscription } from "#control-plane/usecase/live-session.ts";
import { checkKey, readEvents } from "#control-plane/usecase/read-account.ts";
import { createEndpoint, deleteEndpoint, listEndpoints } from "#control-plane/usecase/webhook-endpoints.ts";
import { EVENT_PAGE_MAX, KeyCheck, Subscribe } from "#protocol/edge-call.ts";
import { refusalOf, renderRefusal } from "#protocol/error.ts";
import { CreateWebhookEndpoint } from "#protocol/webhook.ts";
import { jsonOf } from "./signed.ts";
import type { SignedVariables } from "./signed.ts";

const EventsQuery = z.strictObject({
  after: z.coerce.number().pipe(z.int().nonnegative()).default(0),
  limit: z.coerce.number().pipe(z.int().min(1).max(EVENT_PAGE_MAX)).default(EVENT_PAGE_MAX),
});

export interface AccountHost {
  readonly database: Database;
  /** A live session began or ended: the edge sender looks at once. */
  readonly wakeSender: () => void;
  readonly randomSecret: () => string;
}

export function accountRoutes({ database, wakeSender, randomSecret }: AccountHost) {
  return new Hono<{ Variables: SignedVariables }>()
    .post("/keys/check", async (c) => {
      const { key_sha256 } = KeyCheck.parse(jsonOf(c.var.body));
      const answer = await checkKey(database.sql, c.var.account, key_sha256);
      if (answer !== null) return c.json(answer);
      return renderRefusal({ code: "not_found", message: "The key is unknown or revoked." }, c.var.requestId);
    })
    .get("/events", async (c) => {
      const query = EventsQuery.safeParse(c.req.query());
      if (!query.success) return renderRefusal(refusalOf(query.error), c.var.requestId);
      return c.json(await readEvents(database.sql, c.var.account, query.data.after, query.data.limit));
    })
    .put("/subscription", async (c) => {
      const { live } = Subscribe.parse(jsonOf(c.var.body));
      const last = await setSubscription(database.sql, c.var.account, live);
      wakeSender();
      return c.json({ last_sequence_number: last });
    })
    .post("/webhook_endpoints", async (c) => {
      const wanted = CreateWebhookEndpoint.safeParse(jsonOf(c.var.body));
      if (!wanted.success) return renderRefusal(refusalOf(wanted.error), c.var.requestId);
      const created = await createEndpoint(database.orm, c.var.account, wanted.data, randomSecret());
      return "code" in created ? renderRefusal(created, c.var.requestId) : c.json(created);
    })
    .get("/webhook_endpoints", async (c) =>
      c.json({ object: "list", data: await listEndpoints(database.orm, c.var.account) }),
    )
    .delete("/webhook_endpoints/:id", async (c) => {
      const id = c.req.param("id");
      if (await deleteEndpoint(database.orm, c.var.account, id)) {
        return c.json({ id, object: "webhook_endpoint.deleted", deleted: true });
      }
      return renderRefusal({ code: "not_found", message: "No such webhook endpoint." }, c.var.requestId);
    });
}
