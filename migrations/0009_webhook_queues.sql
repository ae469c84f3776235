CREATE TYPE "public"."webhook_disabled_reason" AS ENUM('receiver_gone', 'kept_failing', 'by_account');--> statement-breakpoint
CREATE TYPE "public"."webhook_endpoint_scope" AS ENUM('account', 'videos');--> statement-breakpoint
ALTER TYPE "public"."event_type" ADD VALUE 'webhook_endpoint.disabled';--> statement-breakpoint
CREATE TABLE "video_webhook" (
	"job_id" text PRIMARY KEY NOT NULL,
	"endpoint_id" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "webhook_secret" (
	"account_id" text PRIMARY KEY NOT NULL,
	"secret" text NOT NULL,
	"retiring" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
DROP INDEX "webhook_delivery_due";--> statement-breakpoint
ALTER TABLE "webhook_endpoint" ALTER COLUMN "secret" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "webhook_delivery" ADD COLUMN "account_id" text;--> statement-breakpoint
ALTER TABLE "webhook_delivery" ADD COLUMN "sequence_number" integer;--> statement-breakpoint
ALTER TABLE "webhook_delivery" ADD COLUMN "claimed_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "webhook_delivery" ADD COLUMN "tried_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "webhook_delivery" ADD COLUMN "last_ms" integer;--> statement-breakpoint
ALTER TABLE "webhook_endpoint" ADD COLUMN "scope" "webhook_endpoint_scope" DEFAULT 'account' NOT NULL;--> statement-breakpoint
ALTER TABLE "webhook_endpoint" ADD COLUMN "retiring" jsonb DEFAULT '[]'::jsonb NOT NULL;--> statement-breakpoint
ALTER TABLE "webhook_endpoint" ADD COLUMN "disabled_reason" "webhook_disabled_reason";--> statement-breakpoint
ALTER TABLE "webhook_endpoint" ADD COLUMN "failures" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "webhook_endpoint" ADD COLUMN "failing_since" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "webhook_endpoint" ADD COLUMN "rested_until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "webhook_endpoint" ADD COLUMN "delivered_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "webhook_endpoint" ADD COLUMN "due_at" timestamp with time zone;--> statement-breakpoint
-- What there was before: deliveries learn their account and event, endpoints that said 410 why they are off, and what waits is looked at.
UPDATE "webhook_delivery" d SET "account_id" = e."account_id", "sequence_number" = (d."body"::jsonb ->> 'sequence_number')::integer
FROM "webhook_endpoint" e WHERE e."id" = d."endpoint_id";--> statement-breakpoint
ALTER TABLE "webhook_delivery" ALTER COLUMN "account_id" SET NOT NULL;--> statement-breakpoint
UPDATE "webhook_endpoint" SET "disabled_reason" = 'receiver_gone' WHERE NOT "enabled";--> statement-breakpoint
UPDATE "webhook_endpoint" e SET "due_at" = now()
WHERE EXISTS (SELECT FROM "webhook_delivery" d WHERE d."endpoint_id" = e."id" AND d."next_at" IS NOT NULL);--> statement-breakpoint
ALTER TABLE "video_webhook" ADD CONSTRAINT "video_webhook_endpoint_id_webhook_endpoint_id_fk" FOREIGN KEY ("endpoint_id") REFERENCES "public"."webhook_endpoint"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhook_secret" ADD CONSTRAINT "webhook_secret_account_id_account_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."account"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "webhook_delivery_pending" ON "webhook_delivery" USING btree ("endpoint_id","next_at","id") WHERE "webhook_delivery"."next_at" is not null;--> statement-breakpoint
CREATE INDEX "webhook_delivery_claimed" ON "webhook_delivery" USING btree ("endpoint_id") WHERE "webhook_delivery"."claimed_at" is not null;--> statement-breakpoint
CREATE INDEX "webhook_delivery_by_account" ON "webhook_delivery" USING btree ("account_id","id");--> statement-breakpoint
CREATE INDEX "webhook_delivery_by_endpoint" ON "webhook_delivery" USING btree ("endpoint_id","id");--> statement-breakpoint
CREATE UNIQUE INDEX "webhook_delivery_of_an_event" ON "webhook_delivery" USING btree ("endpoint_id","sequence_number") WHERE "webhook_delivery"."sequence_number" is not null;--> statement-breakpoint
CREATE INDEX "webhook_endpoint_due" ON "webhook_endpoint" USING btree ("due_at") WHERE "webhook_endpoint"."due_at" is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "webhook_endpoint_of_videos" ON "webhook_endpoint" USING btree ("account_id","url") WHERE "webhook_endpoint"."scope" = 'videos';--> statement-breakpoint
ALTER TABLE "webhook_endpoint" ADD CONSTRAINT "webhook_endpoint_says_why_it_is_disabled" CHECK ("webhook_endpoint"."enabled" = ("webhook_endpoint"."disabled_reason" is null));--> statement-breakpoint
ALTER TABLE "webhook_endpoint" ADD CONSTRAINT "webhook_endpoint_of_the_account_has_a_secret" CHECK (("webhook_endpoint"."scope" = 'account') = ("webhook_endpoint"."secret" is not null));