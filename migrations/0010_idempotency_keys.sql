CREATE TABLE "idempotency_key" (
	"account_id" text NOT NULL,
	"route" text NOT NULL,
	"key_sha256" text NOT NULL,
	"fingerprint" text NOT NULL,
	"job_id" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "idempotency_key_account_id_route_key_sha256_pk" PRIMARY KEY("account_id","route","key_sha256")
);
--> statement-breakpoint
ALTER TABLE "tier" DROP CONSTRAINT "tier_limits_make_sense";--> statement-breakpoint
ALTER TABLE "model" ADD COLUMN "created_at" timestamp with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "tier" ADD COLUMN "reads_per_minute" integer DEFAULT 6000 NOT NULL;--> statement-breakpoint
ALTER TABLE "tier" ADD COLUMN "reads_burst" integer DEFAULT 200 NOT NULL;--> statement-breakpoint
ALTER TABLE "idempotency_key" ADD CONSTRAINT "idempotency_key_account_id_account_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."account"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "idempotency_key" ADD CONSTRAINT "idempotency_key_job_id_job_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."job"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "idempotency_key_by_time" ON "idempotency_key" USING btree ("created_at");--> statement-breakpoint
ALTER TABLE "tier" ADD CONSTRAINT "tier_limits_make_sense" CHECK (least("tier"."max_running", "tier"."tier_max_running", "tier"."max_queued") >= 0
        and least("tier"."creates_per_minute", "tier"."creates_burst", "tier"."reads_per_minute", "tier"."reads_burst", "tier"."start_bound_s") > 0);