ALTER TABLE "tier" DROP CONSTRAINT "tier_limits_make_sense";--> statement-breakpoint
ALTER TABLE "job" DROP CONSTRAINT "job_progress_in_range";--> statement-breakpoint
DROP INDEX "job_result_to_remove";--> statement-breakpoint
ALTER TABLE "tier" ADD COLUMN "keep_draft_hours" integer DEFAULT 24 NOT NULL;--> statement-breakpoint
ALTER TABLE "checkpoint" ADD COLUMN "written_for" text;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "promoted_from_video_id" text;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "first_step" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "stop_after" integer;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "promotable_until" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "job" ADD CONSTRAINT "job_promoted_from_video_id_job_id_fk" FOREIGN KEY ("promoted_from_video_id") REFERENCES "public"."job"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "checkpoint_by_file" ON "checkpoint" USING btree ("store_key");--> statement-breakpoint
CREATE INDEX "job_result_to_expire" ON "job" USING btree ("expires_at") WHERE "job"."artifact_key" is not null and "job"."artifact_removed_at" is null and "job"."expires_at" is not null;--> statement-breakpoint
CREATE INDEX "job_result_of_a_deleted_one" ON "job" USING btree ("deleted_at") WHERE "job"."artifact_key" is not null and "job"."artifact_removed_at" is null and "job"."deleted_at" is not null;--> statement-breakpoint
ALTER TABLE "tier" ADD CONSTRAINT "tier_limits_make_sense" CHECK (least("tier"."max_running", "tier"."tier_max_running", "tier"."max_queued") >= 0
        and least("tier"."creates_per_minute", "tier"."creates_burst", "tier"."reads_per_minute", "tier"."reads_burst", "tier"."start_bound_s", "tier"."keep_draft_hours") > 0
        and ("tier"."keep_video_hours" is null or "tier"."keep_video_hours" > 0));--> statement-breakpoint
ALTER TABLE "job" ADD CONSTRAINT "job_does_some_of_its_steps" CHECK ("job"."first_step" >= 0 and "job"."first_step" < coalesce("job"."stop_after", "job"."steps")
        and ("job"."stop_after" is null or "job"."stop_after" < "job"."steps")
        and ("job"."first_step" > 0) = ("job"."promoted_from_video_id" is not null));--> statement-breakpoint
ALTER TABLE "job" ADD CONSTRAINT "job_promotable_iff_completed_draft" CHECK (("job"."promotable_until" is not null) = ("job"."stop_after" is not null and "job"."state" = 'completed'));--> statement-breakpoint
ALTER TABLE "job" ADD CONSTRAINT "job_progress_in_range" CHECK ("job"."progress" between 0 and 100
        and "job"."steps_done" between 0 and coalesce("job"."stop_after", "job"."steps"));