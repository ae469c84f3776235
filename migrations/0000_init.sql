CREATE TYPE "public"."grant_category" AS ENUM('promotional', 'plan', 'paid');--> statement-breakpoint
CREATE TYPE "public"."event_type" AS ENUM('video.queued', 'video.in_progress', 'video.preempted', 'video.retrying', 'video.completed', 'video.failed', 'video.cancelled');--> statement-breakpoint
CREATE TYPE "public"."attempt_outcome" AS ENUM('completed', 'failed', 'stopped', 'lost');--> statement-breakpoint
CREATE TYPE "public"."checkpoint_exactness" AS ENUM('exact', 'numerical');--> statement-breakpoint
CREATE TYPE "public"."hold_state" AS ENUM('open', 'settled');--> statement-breakpoint
CREATE TYPE "public"."job_error_code" AS ENUM('cancelled', 'engine_failed', 'runner_crashed', 'runner_out_of_memory', 'retries_exhausted', 'deadline_exceeded', 'invalid_input_reference');--> statement-breakpoint
CREATE TYPE "public"."job_fault" AS ENUM('user', 'platform');--> statement-breakpoint
CREATE TYPE "public"."job_state" AS ENUM('queued', 'starting', 'running', 'uploading', 'preempted', 'retrying', 'cancelling', 'completed', 'failed', 'cancelled');--> statement-breakpoint
CREATE TABLE "account" (
	"id" text PRIMARY KEY NOT NULL,
	"name" text NOT NULL,
	"tier" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "api_key" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"key_sha256" text NOT NULL,
	"last4" text NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"revoked_at" timestamp with time zone,
	CONSTRAINT "api_key_key_sha256_unique" UNIQUE("key_sha256")
);
--> statement-breakpoint
CREATE TABLE "credit_grant" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"amount" bigint NOT NULL,
	"held" bigint DEFAULT 0 NOT NULL,
	"consumed" bigint DEFAULT 0 NOT NULL,
	"category" "grant_category" NOT NULL,
	"priority" integer NOT NULL,
	"effective_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "credit_grant_not_overdrawn" CHECK ("credit_grant"."amount" > 0 and "credit_grant"."held" >= 0 and "credit_grant"."consumed" >= 0 and "credit_grant"."held" + "credit_grant"."consumed" <= "credit_grant"."amount")
);
--> statement-breakpoint
CREATE TABLE "model" (
	"name" text PRIMARY KEY NOT NULL,
	"engine" text NOT NULL,
	"fps" integer NOT NULL,
	"sizes" jsonb NOT NULL,
	"default_size" text NOT NULL,
	"seconds_min" integer NOT NULL,
	"seconds_max" integer NOT NULL,
	"seconds_default" integer NOT NULL,
	"steps_default" integer NOT NULL,
	"steps_max" integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE "model_class" (
	"model" text NOT NULL,
	"name" text NOT NULL,
	"resolution" text NOT NULL,
	"seconds_max" integer NOT NULL,
	"price" bigint NOT NULL,
	"gpu_ms" integer NOT NULL,
	"vram_bytes" bigint NOT NULL,
	CONSTRAINT "model_class_model_name_pk" PRIMARY KEY("model","name"),
	CONSTRAINT "model_class_model_resolution_seconds_max_unique" UNIQUE("model","resolution","seconds_max"),
	CONSTRAINT "model_class_price_positive" CHECK ("model_class"."price" > 0 and "model_class"."gpu_ms" > 0)
);
--> statement-breakpoint
CREATE TABLE "tier" (
	"name" text PRIMARY KEY NOT NULL,
	"weight" integer NOT NULL,
	"share_min" integer DEFAULT 1 NOT NULL,
	"share_max" integer DEFAULT 1000000 NOT NULL,
	"max_running" integer NOT NULL,
	"tier_max_running" integer DEFAULT 1000000 NOT NULL,
	"max_queued" integer NOT NULL,
	"creates_per_minute" integer NOT NULL,
	"creates_burst" integer NOT NULL,
	"start_bound_s" integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE "edge_subscription" (
	"account_id" text PRIMARY KEY NOT NULL,
	"sent_through" integer NOT NULL,
	"expires_at" timestamp with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "event" (
	"account_id" text NOT NULL,
	"sequence_number" integer NOT NULL,
	"id" text NOT NULL,
	"type" "event_type" NOT NULL,
	"job_id" text NOT NULL,
	"data" jsonb NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "event_account_id_sequence_number_pk" PRIMARY KEY("account_id","sequence_number"),
	CONSTRAINT "event_id_unique" UNIQUE("id")
);
--> statement-breakpoint
CREATE TABLE "event_counter" (
	"account_id" text PRIMARY KEY NOT NULL,
	"last" integer NOT NULL
);
--> statement-breakpoint
CREATE TABLE "webhook_delivery" (
	"id" text PRIMARY KEY NOT NULL,
	"endpoint_id" text NOT NULL,
	"body" text NOT NULL,
	"tries" integer DEFAULT 0 NOT NULL,
	"next_at" timestamp with time zone DEFAULT now(),
	"last_status" integer,
	"last_error" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"delivered_at" timestamp with time zone
);
--> statement-breakpoint
CREATE TABLE "webhook_endpoint" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"url" text NOT NULL,
	"secret" text NOT NULL,
	"events" "event_type"[] NOT NULL,
	"enabled" boolean DEFAULT true NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "attempt" (
	"job_id" text NOT NULL,
	"epoch" integer NOT NULL,
	"runner_id" text NOT NULL,
	"from_step" integer NOT NULL,
	"started_at" timestamp with time zone DEFAULT now() NOT NULL,
	"ended_at" timestamp with time zone,
	"outcome" "attempt_outcome",
	CONSTRAINT "attempt_job_id_epoch_pk" PRIMARY KEY("job_id","epoch"),
	CONSTRAINT "attempt_ended_has_outcome" CHECK (("attempt"."ended_at" is null) = ("attempt"."outcome" is null))
);
--> statement-breakpoint
CREATE TABLE "checkpoint" (
	"job_id" text NOT NULL,
	"epoch" integer NOT NULL,
	"step" integer NOT NULL,
	"store_key" text NOT NULL,
	"sha256" text NOT NULL,
	"bytes" bigint NOT NULL,
	"exactness" "checkpoint_exactness" NOT NULL,
	"unusable" boolean DEFAULT false NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "checkpoint_job_id_epoch_step_pk" PRIMARY KEY("job_id","epoch","step")
);
--> statement-breakpoint
CREATE TABLE "credit_hold" (
	"job_id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"amount" bigint NOT NULL,
	"captured" bigint DEFAULT 0 NOT NULL,
	"released" bigint DEFAULT 0 NOT NULL,
	"state" "hold_state" DEFAULT 'open' NOT NULL,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"settled_at" timestamp with time zone,
	CONSTRAINT "credit_hold_settles_whole" CHECK (("credit_hold"."state" = 'open' and "credit_hold"."captured" = 0 and "credit_hold"."released" = 0)
        or ("credit_hold"."state" = 'settled' and "credit_hold"."captured" >= 0 and "credit_hold"."released" >= 0 and "credit_hold"."captured" + "credit_hold"."released" = "credit_hold"."amount"))
);
--> statement-breakpoint
CREATE TABLE "credit_hold_lot" (
	"job_id" text NOT NULL,
	"grant_id" text NOT NULL,
	"rank" integer NOT NULL,
	"amount" bigint NOT NULL,
	"captured" bigint DEFAULT 0 NOT NULL,
	CONSTRAINT "credit_hold_lot_job_id_grant_id_pk" PRIMARY KEY("job_id","grant_id"),
	CONSTRAINT "credit_hold_lot_captured_within" CHECK ("credit_hold_lot"."captured" between 0 and "credit_hold_lot"."amount" and "credit_hold_lot"."amount" > 0)
);
--> statement-breakpoint
CREATE TABLE "job" (
	"id" text PRIMARY KEY NOT NULL,
	"account_id" text NOT NULL,
	"create_key" text NOT NULL,
	"tier" text NOT NULL,
	"model" text NOT NULL,
	"class" text NOT NULL,
	"prompt" text NOT NULL,
	"negative_prompt" text NOT NULL,
	"size" text NOT NULL,
	"fps" integer NOT NULL,
	"seconds" integer NOT NULL,
	"steps" integer NOT NULL,
	"seed" bigint NOT NULL,
	"metadata" jsonb NOT NULL,
	"reference_sha256" text,
	"reference_media_type" text,
	"price" bigint NOT NULL,
	"gpu_ms" integer NOT NULL,
	"state" "job_state" DEFAULT 'queued' NOT NULL,
	"progress" integer DEFAULT 0 NOT NULL,
	"steps_done" integer DEFAULT 0 NOT NULL,
	"epoch" integer DEFAULT 0 NOT NULL,
	"attempts" integer DEFAULT 0 NOT NULL,
	"preemptions" integer DEFAULT 0 NOT NULL,
	"runner_deaths" integer DEFAULT 0 NOT NULL,
	"engine_failures" integer DEFAULT 0 NOT NULL,
	"runner_id" text,
	"devices" text[],
	"lease_expires_at" timestamp with time zone,
	"not_before" timestamp with time zone,
	"avoid_runner_id" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"started_at" timestamp with time zone,
	"finished_at" timestamp with time zone,
	"deadline_at" timestamp with time zone NOT NULL,
	"expires_at" timestamp with time zone,
	"deleted_at" timestamp with time zone,
	"error_code" "job_error_code",
	"error_message" text,
	"error_fault" "job_fault",
	"artifact_key" text,
	"artifact_sha256" text,
	"artifact_bytes" bigint,
	"latents_sha256" text,
	"frames_sha256" text,
	CONSTRAINT "job_one_per_create_key" UNIQUE("account_id","create_key"),
	CONSTRAINT "job_leased_iff_on_runner" CHECK (("job"."state" in ('starting', 'running', 'uploading', 'cancelling')) = ("job"."runner_id" is not null)
        and ("job"."runner_id" is null) = ("job"."lease_expires_at" is null)
        and ("job"."runner_id" is null) = ("job"."devices" is null)),
	CONSTRAINT "job_finished_iff_terminal" CHECK (("job"."state" in ('completed', 'failed', 'cancelled')) = ("job"."finished_at" is not null)),
	CONSTRAINT "job_progress_full_iff_completed" CHECK (("job"."progress" = 100) = ("job"."state" = 'completed')),
	CONSTRAINT "job_artifact_iff_completed" CHECK (("job"."artifact_key" is not null) = ("job"."state" = 'completed')),
	CONSTRAINT "job_error_iff_failed" CHECK (("job"."state" in ('failed', 'cancelled')) = ("job"."error_code" is not null)),
	CONSTRAINT "job_progress_in_range" CHECK ("job"."progress" between 0 and 100 and "job"."steps_done" between 0 and "job"."steps")
);
--> statement-breakpoint
CREATE TABLE "fair_tag" (
	"account_id" text PRIMARY KEY NOT NULL,
	"tag" bigint NOT NULL
);
--> statement-breakpoint
CREATE TABLE "inbox" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"job_id" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "leader" (
	"singleton" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"epoch" integer NOT NULL,
	"holder" text NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	CONSTRAINT "leader_single_row" CHECK ("leader"."singleton")
);
--> statement-breakpoint
CREATE TABLE "nonce" (
	"request_id" text PRIMARY KEY NOT NULL,
	"seen_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "runner" (
	"id" text PRIMARY KEY NOT NULL,
	"engine" text NOT NULL,
	"build" text NOT NULL,
	"models" text[] NOT NULL,
	"caps" jsonb NOT NULL,
	"devices" jsonb NOT NULL,
	"first_seen_at" timestamp with time zone DEFAULT now() NOT NULL,
	"last_seen_at" timestamp with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "tier_clock" (
	"tier" text PRIMARY KEY NOT NULL,
	"tag" bigint NOT NULL,
	"virtual" bigint NOT NULL
);
--> statement-breakpoint
ALTER TABLE "account" ADD CONSTRAINT "account_tier_tier_name_fk" FOREIGN KEY ("tier") REFERENCES "public"."tier"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "api_key" ADD CONSTRAINT "api_key_account_id_account_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."account"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "credit_grant" ADD CONSTRAINT "credit_grant_account_id_account_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."account"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "model_class" ADD CONSTRAINT "model_class_model_model_name_fk" FOREIGN KEY ("model") REFERENCES "public"."model"("name") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "edge_subscription" ADD CONSTRAINT "edge_subscription_account_id_account_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."account"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "event_counter" ADD CONSTRAINT "event_counter_account_id_account_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."account"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhook_delivery" ADD CONSTRAINT "webhook_delivery_endpoint_id_webhook_endpoint_id_fk" FOREIGN KEY ("endpoint_id") REFERENCES "public"."webhook_endpoint"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "webhook_endpoint" ADD CONSTRAINT "webhook_endpoint_account_id_account_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."account"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "attempt" ADD CONSTRAINT "attempt_job_id_job_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."job"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "checkpoint" ADD CONSTRAINT "checkpoint_job_id_job_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."job"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "credit_hold" ADD CONSTRAINT "credit_hold_job_id_job_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."job"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "credit_hold_lot" ADD CONSTRAINT "credit_hold_lot_grant_id_credit_grant_id_fk" FOREIGN KEY ("grant_id") REFERENCES "public"."credit_grant"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "credit_hold_lot" ADD CONSTRAINT "credit_hold_lot_job_id_credit_hold_job_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."credit_hold"("job_id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "job" ADD CONSTRAINT "job_account_id_account_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."account"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "credit_grant_by_account" ON "credit_grant" USING btree ("account_id");--> statement-breakpoint
CREATE INDEX "webhook_delivery_due" ON "webhook_delivery" USING btree ("next_at") WHERE "webhook_delivery"."next_at" is not null;--> statement-breakpoint
CREATE INDEX "webhook_endpoint_by_account" ON "webhook_endpoint" USING btree ("account_id");--> statement-breakpoint
CREATE UNIQUE INDEX "attempt_one_open_per_job" ON "attempt" USING btree ("job_id") WHERE "attempt"."ended_at" is null;--> statement-breakpoint
CREATE INDEX "job_by_account" ON "job" USING btree ("account_id","created_at","id");--> statement-breakpoint
CREATE INDEX "job_unfinished" ON "job" USING btree ("state") WHERE "job"."finished_at" is null;