CREATE TYPE "public"."credit_act_kind" AS ENUM('grant', 'void', 'adjust', 'refund');--> statement-breakpoint
CREATE TYPE "public"."credit_book" AS ENUM('issued', 'available', 'held', 'consumed', 'expired', 'voided');--> statement-breakpoint
CREATE TYPE "public"."credit_entry_kind" AS ENUM('funded', 'held', 'captured', 'released', 'expired', 'voided', 'make_good', 'adjusted', 'refunded');--> statement-breakpoint
CREATE TABLE "credit_act" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"kind" "credit_act_kind" NOT NULL,
	"idempotency_key" text,
	"request" jsonb NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "credit_act_one_per_key" UNIQUE("account_id","idempotency_key")
);
--> statement-breakpoint
CREATE TABLE "credit_entry" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"grant_id" text NOT NULL,
	"job_id" text,
	"act_id" bigint,
	"kind" "credit_entry_kind" NOT NULL,
	"from_book" "credit_book" NOT NULL,
	"to_book" "credit_book" NOT NULL,
	"amount" bigint NOT NULL,
	"available_after" bigint NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "credit_entry_moves_something" CHECK ("credit_entry"."amount" > 0 and "credit_entry"."available_after" >= 0),
	CONSTRAINT "credit_entry_goes_a_known_way" CHECK (case "credit_entry"."kind"
        when 'funded' then "credit_entry"."from_book" = 'issued' and "credit_entry"."to_book" = 'available' and "credit_entry"."job_id" is null
        when 'make_good' then "credit_entry"."from_book" = 'issued' and "credit_entry"."to_book" = 'available' and "credit_entry"."job_id" is not null
        when 'adjusted' then ("credit_entry"."from_book", "credit_entry"."to_book") in (('issued', 'available'), ('available', 'consumed'))
          and "credit_entry"."job_id" is null and "credit_entry"."act_id" is not null
        when 'held' then "credit_entry"."from_book" = 'available' and "credit_entry"."to_book" = 'held' and "credit_entry"."job_id" is not null
        when 'captured' then "credit_entry"."from_book" = 'held' and "credit_entry"."to_book" = 'consumed' and "credit_entry"."job_id" is not null
        when 'released' then "credit_entry"."from_book" = 'held' and "credit_entry"."to_book" = 'available' and "credit_entry"."job_id" is not null
        when 'expired' then "credit_entry"."to_book" = 'expired'
          and "credit_entry"."from_book" = case when "credit_entry"."job_id" is null then 'available'::credit_book else 'held'::credit_book end
        when 'voided' then "credit_entry"."to_book" = 'voided'
          and "credit_entry"."from_book" = case when "credit_entry"."job_id" is null then 'available'::credit_book else 'held'::credit_book end
        when 'refunded' then "credit_entry"."from_book" = 'consumed' and "credit_entry"."to_book" in ('available', 'expired', 'voided')
          and "credit_entry"."job_id" is not null and "credit_entry"."act_id" is not null
      end)
);
--> statement-breakpoint
CREATE TABLE "ledger_audit" (
	"singleton" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"epoch" integer NOT NULL,
	"breaches" jsonb NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "ledger_audit_single_row" CHECK ("ledger_audit"."singleton")
);
--> statement-breakpoint
ALTER TABLE "credit_grant" DROP CONSTRAINT "credit_grant_not_overdrawn";--> statement-breakpoint
-- Until now nothing refused a grant that ends before it starts. Nobody could ever spend it, and nobody can now.
UPDATE "credit_grant" SET "expires_at" = "effective_at" WHERE "expires_at" < "effective_at";--> statement-breakpoint
ALTER TABLE "credit_grant" ADD COLUMN "expired" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "credit_grant" ADD COLUMN "voided" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "credit_grant" ADD COLUMN "available" bigint GENERATED ALWAYS AS (amount - held - consumed - expired - voided) STORED NOT NULL;--> statement-breakpoint
ALTER TABLE "credit_grant" ADD COLUMN "expired_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "credit_grant" ADD COLUMN "voided_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "credit_hold" ADD COLUMN "refunded" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "credit_hold_lot" ADD COLUMN "refunded" bigint DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "credit_act" ADD CONSTRAINT "credit_act_account_id_account_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."account"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "credit_entry" ADD CONSTRAINT "credit_entry_grant_id_credit_grant_id_fk" FOREIGN KEY ("grant_id") REFERENCES "public"."credit_grant"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "credit_entry" ADD CONSTRAINT "credit_entry_job_id_job_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."job"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "credit_entry" ADD CONSTRAINT "credit_entry_act_id_credit_act_id_fk" FOREIGN KEY ("act_id") REFERENCES "public"."credit_act"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "credit_entry_by_account" ON "credit_entry" USING btree ("account_id","id");--> statement-breakpoint
CREATE INDEX "credit_entry_by_time" ON "credit_entry" USING btree ("at","id");--> statement-breakpoint
CREATE UNIQUE INDEX "credit_entry_funds_once" ON "credit_entry" USING btree ("grant_id") WHERE "credit_entry"."from_book" = 'issued';--> statement-breakpoint
CREATE UNIQUE INDEX "credit_entry_once_per_job" ON "credit_entry" USING btree ("job_id","grant_id","kind") WHERE "credit_entry"."job_id" is not null;--> statement-breakpoint
CREATE INDEX "credit_grant_to_expire" ON "credit_grant" USING btree ("expires_at") WHERE "credit_grant"."expires_at" is not null and "credit_grant"."expired_at" is null and "credit_grant"."voided_at" is null;--> statement-breakpoint
ALTER TABLE "credit_grant" ADD CONSTRAINT "credit_grant_ended_has_nothing_free" CHECK (("credit_grant"."expired_at" is null and "credit_grant"."voided_at" is null)
        or "credit_grant"."held" + "credit_grant"."consumed" + "credit_grant"."expired" + "credit_grant"."voided" = "credit_grant"."amount");--> statement-breakpoint
ALTER TABLE "credit_grant" ADD CONSTRAINT "credit_grant_expires_after_start" CHECK (("credit_grant"."expires_at" is null or "credit_grant"."expires_at" >= "credit_grant"."effective_at")
        and ("credit_grant"."expired_at" is null or "credit_grant"."expires_at" is not null));--> statement-breakpoint
ALTER TABLE "credit_grant" ADD CONSTRAINT "credit_grant_ends_once" CHECK (("credit_grant"."expired" = 0 or "credit_grant"."expires_at" is not null) and ("credit_grant"."voided" = 0 or "credit_grant"."voided_at" is not null)
        and ("credit_grant"."expired_at" is null or "credit_grant"."voided_at" is null));--> statement-breakpoint
ALTER TABLE "credit_grant" ADD CONSTRAINT "credit_grant_not_overdrawn" CHECK ("credit_grant"."amount" > 0 and least("credit_grant"."held", "credit_grant"."consumed", "credit_grant"."expired", "credit_grant"."voided") >= 0
        and "credit_grant"."held" + "credit_grant"."consumed" + "credit_grant"."expired" + "credit_grant"."voided" <= "credit_grant"."amount");--> statement-breakpoint
ALTER TABLE "credit_hold" ADD CONSTRAINT "credit_hold_refunds_what_it_captured" CHECK ("credit_hold"."refunded" between 0 and "credit_hold"."captured");--> statement-breakpoint
ALTER TABLE "credit_hold_lot" ADD CONSTRAINT "credit_hold_lot_refunds_what_it_captured" CHECK ("credit_hold_lot"."refunded" between 0 and "credit_hold_lot"."captured");--> statement-breakpoint
CREATE FUNCTION "refuse_to_rewrite_the_journal"() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP USING ERRCODE = 'restrict_violation';
END
$$;--> statement-breakpoint
CREATE TRIGGER "credit_entry_is_final" BEFORE UPDATE OR DELETE OR TRUNCATE ON "credit_entry"
  FOR EACH STATEMENT EXECUTE FUNCTION "refuse_to_rewrite_the_journal"();--> statement-breakpoint
CREATE TRIGGER "credit_act_is_final" BEFORE UPDATE OR DELETE OR TRUNCATE ON "credit_act"
  FOR EACH STATEMENT EXECUTE FUNCTION "refuse_to_rewrite_the_journal"();--> statement-breakpoint
-- Opening entries: what grants, holds and lots from before say, in the order in which it happened.
INSERT INTO "credit_entry" ("account_id", "grant_id", "job_id", "kind", "from_book", "to_book", "amount", "available_after", "at")
SELECT "account_id", "grant_id", "job_id", "kind", "from_book", "to_book", "amount",
  sum("amount" * CASE WHEN "to_book" = 'available' THEN 1 WHEN "from_book" = 'available' THEN -1 ELSE 0 END)
    OVER (PARTITION BY "account_id" ORDER BY "at", "kind", "job_id", "grant_id" ROWS UNBOUNDED PRECEDING),
  "at"
FROM (
  SELECT "account_id", "id" AS "grant_id", NULL AS "job_id", 'funded'::credit_entry_kind AS "kind",
    'issued'::credit_book AS "from_book", 'available'::credit_book AS "to_book", "amount",
    date_trunc('milliseconds', "created_at") AS "at"
  FROM "credit_grant"
  UNION ALL
  SELECT h."account_id", l."grant_id", l."job_id", 'held', 'available', 'held', l."amount", date_trunc('milliseconds', h."created_at")
  FROM "credit_hold" h JOIN "credit_hold_lot" l ON l."job_id" = h."job_id"
  UNION ALL
  SELECT h."account_id", l."grant_id", l."job_id", 'captured', 'held', 'consumed', l."captured", date_trunc('milliseconds', h."settled_at")
  FROM "credit_hold" h JOIN "credit_hold_lot" l ON l."job_id" = h."job_id" WHERE h."state" = 'settled' AND l."captured" > 0
  UNION ALL
  SELECT h."account_id", l."grant_id", l."job_id", 'released', 'held', 'available', l."amount" - l."captured", date_trunc('milliseconds', h."settled_at")
  FROM "credit_hold" h JOIN "credit_hold_lot" l ON l."job_id" = h."job_id" WHERE h."state" = 'settled' AND l."amount" > l."captured"
) AS "past"
ORDER BY "at", "kind", "job_id", "grant_id";--> statement-breakpoint
-- One round trip for what must be decided under an account's lock: the statement sees what was committed while it waited.
CREATE FUNCTION "under_account_lock"("account_id" text, "statement" text, "input" jsonb) RETURNS SETOF "job" LANGUAGE plpgsql AS $$
BEGIN
  PERFORM 1 FROM account WHERE account.id = under_account_lock.account_id FOR NO KEY UPDATE;
  RETURN QUERY EXECUTE statement USING input;
END
$$;
