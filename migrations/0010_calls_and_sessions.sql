ALTER TYPE "public"."job_error_code" ADD VALUE 'start_deadline_exceeded' BEFORE 'invalid_input_reference';--> statement-breakpoint
CREATE TABLE "idempotency_key" (
	"account_id" text NOT NULL,
	"key_sha256" text NOT NULL,
	"fingerprint" text NOT NULL,
	"job_id" text NOT NULL,
	"created_at" timestamp with time zone NOT NULL,
	CONSTRAINT "idempotency_key_account_id_key_sha256_pk" PRIMARY KEY("account_id","key_sha256")
);
--> statement-breakpoint
ALTER TABLE "tier" DROP CONSTRAINT "tier_limits_make_sense";--> statement-breakpoint
ALTER TABLE "model" ADD COLUMN "created_at" timestamp with time zone DEFAULT now() NOT NULL;--> statement-breakpoint
ALTER TABLE "tier" ADD COLUMN "reads_per_minute" integer DEFAULT 6000 NOT NULL;--> statement-breakpoint
ALTER TABLE "tier" ADD COLUMN "reads_burst" integer DEFAULT 200 NOT NULL;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "remixed_from_video_id" text;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "start_deadline_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "idempotency_key" ADD CONSTRAINT "idempotency_key_account_id_account_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."account"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "idempotency_key" ADD CONSTRAINT "idempotency_key_job_id_job_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."job"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "idempotency_key_by_time" ON "idempotency_key" USING btree ("created_at");--> statement-breakpoint
ALTER TABLE "job" ADD CONSTRAINT "job_remixed_from_video_id_job_id_fk" FOREIGN KEY ("remixed_from_video_id") REFERENCES "public"."job"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "job_unfinished_by_account" ON "job" USING btree ("account_id","created_at","id") WHERE "job"."finished_at" is null;--> statement-breakpoint
CREATE INDEX "job_by_start_deadline" ON "job" USING btree ("start_deadline_at") WHERE "job"."start_deadline_at" is not null and "job"."started_at" is null and "job"."finished_at" is null;--> statement-breakpoint
ALTER TABLE "tier" ADD CONSTRAINT "tier_limits_make_sense" CHECK (least("tier"."max_running", "tier"."tier_max_running", "tier"."max_queued") >= 0
        and least("tier"."creates_per_minute", "tier"."creates_burst", "tier"."reads_per_minute", "tier"."reads_burst", "tier"."start_bound_s") > 0);