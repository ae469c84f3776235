ALTER TYPE "public"."job_error_code" ADD VALUE 'start_deadline_exceeded' BEFORE 'invalid_input_reference';--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "remixed_from_video_id" text;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "start_deadline_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "job" ADD CONSTRAINT "job_remixed_from_video_id_job_id_fk" FOREIGN KEY ("remixed_from_video_id") REFERENCES "public"."job"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "job_by_start_deadline" ON "job" USING btree ("start_deadline_at") WHERE "job"."start_deadline_at" is not null and "job"."started_at" is null and "job"."finished_at" is null;