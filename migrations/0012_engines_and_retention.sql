ALTER TABLE "tier" DROP CONSTRAINT "tier_limits_make_sense";--> statement-breakpoint
ALTER TABLE "tier" ADD COLUMN "keep_video_hours" integer;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "progress_estimated" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "artifact_removed_at" timestamp with time zone;--> statement-breakpoint
CREATE INDEX "job_result_to_remove" ON "job" USING btree ("expires_at") WHERE "job"."artifact_key" is not null and "job"."artifact_removed_at" is null
        and ("job"."expires_at" is not null or "job"."deleted_at" is not null);--> statement-breakpoint
ALTER TABLE "tier" ADD CONSTRAINT "tier_limits_make_sense" CHECK (least("tier"."max_running", "tier"."tier_max_running", "tier"."max_queued") >= 0
        and least("tier"."creates_per_minute", "tier"."creates_burst", "tier"."reads_per_minute", "tier"."reads_burst", "tier"."start_bound_s") > 0
        and ("tier"."keep_video_hours" is null or "tier"."keep_video_hours" > 0));