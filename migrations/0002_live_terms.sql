CREATE TYPE "public"."model_resume" AS ENUM('exact', 'none');--> statement-breakpoint
CREATE TYPE "public"."cost_stage" AS ENUM('load', 'encode', 'denoise', 'decode', 'upload', 'run');--> statement-breakpoint
CREATE TABLE "attempt_stage" (
	"job_id" text NOT NULL,
	"epoch" integer NOT NULL,
	"stage" "cost_stage" NOT NULL,
	"predicted_ms" integer NOT NULL,
	"actual_ms" integer NOT NULL,
	CONSTRAINT "attempt_stage_job_id_epoch_stage_pk" PRIMARY KEY("job_id","epoch","stage"),
	CONSTRAINT "attempt_stage_takes_time" CHECK ("attempt_stage"."predicted_ms" >= 0 and "attempt_stage"."actual_ms" >= 0)
);
--> statement-breakpoint
CREATE TABLE "scheduler_limit" (
	"name" text PRIMARY KEY NOT NULL,
	"value" double precision NOT NULL
);
--> statement-breakpoint
ALTER TABLE "inbox" ALTER COLUMN "job_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "model" ADD COLUMN "load_ms" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "model" ADD COLUMN "resume" "model_resume" DEFAULT 'exact' NOT NULL;--> statement-breakpoint
ALTER TABLE "model_class" ADD COLUMN "shapes" jsonb;--> statement-breakpoint
-- One device, as before. Of the reference engine's 30 steps about a tenth is encode and a fifth decode, whatever the steps.
UPDATE "model_class" SET "shapes" = jsonb_build_array(jsonb_build_object(
  'k', 1, 'vram_bytes', "vram_bytes", 'wall_ms', "gpu_ms", 'encode_ms', "gpu_ms" / 10, 'decode_ms', "gpu_ms" / 5
));--> statement-breakpoint
ALTER TABLE "model_class" ALTER COLUMN "shapes" SET NOT NULL;--> statement-breakpoint
ALTER TABLE "model_class" ADD COLUMN "retired_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "attempt" ADD COLUMN "build" text DEFAULT '' NOT NULL;--> statement-breakpoint
ALTER TABLE "attempt" ADD COLUMN "gpu" text DEFAULT 'none' NOT NULL;--> statement-breakpoint
ALTER TABLE "attempt" ADD COLUMN "k" integer DEFAULT 1 NOT NULL;--> statement-breakpoint
ALTER TABLE "runner" ADD COLUMN "drained" boolean DEFAULT false NOT NULL;--> statement-breakpoint
ALTER TABLE "attempt_stage" ADD CONSTRAINT "attempt_stage_job_id_epoch_attempt_job_id_epoch_fk" FOREIGN KEY ("job_id","epoch") REFERENCES "public"."attempt"("job_id","epoch") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "job" ADD CONSTRAINT "job_model_class_model_class_model_name_fk" FOREIGN KEY ("model","class") REFERENCES "public"."model_class"("model","name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "attempt_by_end" ON "attempt" USING btree ("ended_at");--> statement-breakpoint
ALTER TABLE "model_class" DROP COLUMN "vram_bytes";--> statement-breakpoint
ALTER TABLE "model_class" ADD CONSTRAINT "model_class_has_shapes" CHECK (jsonb_typeof("model_class"."shapes") = 'array' and jsonb_array_length("model_class"."shapes") > 0);--> statement-breakpoint
ALTER TABLE "tier" ADD CONSTRAINT "tier_weighs" CHECK ("tier"."weight" > 0 and "tier"."share_min" > 0 and "tier"."share_max" >= "tier"."share_min");--> statement-breakpoint
ALTER TABLE "tier" ADD CONSTRAINT "tier_limits_make_sense" CHECK (least("tier"."max_running", "tier"."tier_max_running", "tier"."max_queued") >= 0
        and least("tier"."creates_per_minute", "tier"."creates_burst", "tier"."start_bound_s") > 0);