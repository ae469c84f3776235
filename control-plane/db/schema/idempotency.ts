/** Which video an `Idempotency-Key` stands for. Written by the submit statement itself; swept a day later. */
import { index, pgTable, primaryKey, text } from "../drizzle.ts";
import type { AccountId, Sha256Hex, VideoId } from "#protocol/id.ts";
import { account } from "./account.ts";
import { moment } from "./column.ts";
import { job } from "./job.ts";

export const idempotencyKey = pgTable(
  "idempotency_key",
  {
    accountId: text("account_id")
      .$type<AccountId>()
      .notNull()
      .references(() => account.id),
    /** Of the route and the key: a key is unique per route. */
    keySha256: text("key_sha256").$type<Sha256Hex>().notNull(),
    /** Of the request that claimed it: another one is refused. */
    fingerprint: text().$type<Sha256Hex>().notNull(),
    jobId: text("job_id")
      .$type<VideoId>()
      .notNull()
      .references(() => job.id),
    createdAt: moment("created_at").notNull(),
  },
  (table) => [
    primaryKey({ columns: [table.accountId, table.keySha256] }),
    index("idempotency_key_by_time").on(table.createdAt),
  ],
);
