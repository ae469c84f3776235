/** Where accounts want their events delivered. */
import { and, count, eq, sql } from "drizzle-orm";
import type { EventType } from "#protocol/event.ts";
import type { AccountId } from "#protocol/id.ts";
import type { Database } from "./connect.ts";
import { webhookEndpoint } from "./schema/delivery.ts";

export type EndpointRow = typeof webhookEndpoint.$inferSelect;
type Orm = Database["orm"];

export async function countEndpoints(orm: Orm, account: AccountId): Promise<number> {
  const [row] = await orm
    .select({ count: count() })
    .from(webhookEndpoint)
    .where(eq(webhookEndpoint.accountId, account));
  return row?.count ?? 0;
}

export async function insertEndpoint(
  orm: Orm,
  endpoint: {
    readonly account: AccountId;
    readonly url: string;
    readonly secret: string;
    readonly events: EventType[];
  },
): Promise<EndpointRow> {
  const [row] = await orm
    .insert(webhookEndpoint)
    .values({
      id: sql`'we_' || replace(uuidv7()::text, '-', '')`,
      accountId: endpoint.account,
      url: endpoint.url,
      secret: endpoint.secret,
      events: endpoint.events,
    })
    .returning();
  if (row === undefined) throw new Error("an insert returns its row");
  return row;
}

export async function endpointsOf(orm: Orm, account: AccountId): Promise<readonly EndpointRow[]> {
  return orm
    .select()
    .from(webhookEndpoint)
    .where(eq(webhookEndpoint.accountId, account))
    .orderBy(webhookEndpoint.createdAt, webhookEndpoint.id);
}

/** False if the account has no such endpoint. Its pending deliveries go with it. */
export async function removeEndpoint(orm: Orm, account: AccountId, id: string): Promise<boolean> {
  const rows = await orm
    .delete(webhookEndpoint)
    .where(and(eq(webhookEndpoint.accountId, account), eq(webhookEndpoint.id, id)))
    .returning({ id: webhookEndpoint.id });
  return rows.length === 1;
}
