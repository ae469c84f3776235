/** What the operator did, and which runners the operator trusts. */
import { bigint, boolean, check, pgTable, sql, text } from "../drizzle.ts";
import type { RunnerId, Sha256Hex } from "#protocol/id.ts";
import { moment } from "./column.ts";

/**
 * Every act of the operator, in the order of their commits: `hash` is the SHA-256 of the row before and of `record`, so a row
 * that was changed, taken out or put in breaks the chain. Triggers forbid UPDATE, DELETE and TRUNCATE.
 */
export const adminAudit = pgTable("admin_audit", {
  seq: bigint({ mode: "bigint" }).primaryKey(),
  /** The JSON text that was hashed, to the letter: at, act, target, actor, request id, changes. */
  record: text().notNull(),
  prevHash: text("prev_hash").$type<Sha256Hex>().notNull(),
  hash: text().$type<Sha256Hex>().notNull(),
});

/** The last row of the chain: locked by who writes the next one, and what the end of the log is compared with. */
export const adminAuditHead = pgTable(
  "admin_audit_head",
  {
    singleton: boolean().primaryKey().default(true),
    seq: bigint({ mode: "bigint" }).notNull(),
    hash: text().$type<Sha256Hex>().notNull(),
  },
  (table) => [check("admin_audit_head_single_row", sql`${table.singleton}`)],
);

/** Single use; only its hash is kept. */
export const runnerJoinToken = pgTable(
  "runner_join_token",
  {
    id: text().primaryKey(),
    tokenSha256: text("token_sha256").$type<Sha256Hex>().notNull().unique(),
    /** The only runner that may use it; null: any that has no secret yet. */
    runnerId: text("runner_id").$type<RunnerId>(),
    createdAt: moment("created_at").notNull().defaultNow(),
    expiresAt: moment("expires_at").notNull(),
    usedAt: moment("used_at"),
    usedBy: text("used_by").$type<RunnerId>(),
  },
  (table) => [
    check("runner_join_token_used_by_somebody", sql`(${table.usedAt} is null) = (${table.usedBy} is null)`),
    check("runner_join_token_is_short_lived", sql`${table.expiresAt} <= ${table.createdAt} + interval '1 hour'`),
    check("runner_join_token_of_its_runner", sql`${table.usedBy} = coalesce(${table.runnerId}, ${table.usedBy})`),
  ],
);

/** The one secret by which a runner may dial; without a row it may not. Only its hash is kept. */
export const runnerSecret = pgTable("runner_secret", {
  runnerId: text("runner_id").$type<RunnerId>().primaryKey(),
  secretSha256: text("secret_sha256").$type<Sha256Hex>().notNull().unique(),
  /** The token by which it joined. */
  tokenId: text("token_id").notNull(),
  joinedAt: moment("joined_at").notNull().defaultNow(),
});
