ALTER TYPE "public"."job_error_code" ADD VALUE 'content_policy_violation';--> statement-breakpoint
ALTER TYPE "public"."job_error_code" ADD VALUE 'moderation_unavailable';--> statement-breakpoint
ALTER TYPE "public"."job_state" ADD VALUE 'moderating' BEFORE 'preempted';--> statement-breakpoint
CREATE TABLE "admin_audit" (
	"seq" bigint PRIMARY KEY NOT NULL,
	"record" text NOT NULL,
	"prev_hash" text NOT NULL,
	"hash" text NOT NULL
);
--> statement-breakpoint
CREATE TABLE "admin_audit_head" (
	"singleton" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"seq" bigint NOT NULL,
	"hash" text NOT NULL,
	CONSTRAINT "admin_audit_head_single_row" CHECK ("admin_audit_head"."singleton")
);
--> statement-breakpoint
CREATE TABLE "runner_join_token" (
	"id" text PRIMARY KEY NOT NULL,
	"token_sha256" text NOT NULL,
	"runner_id" text,
	"created_at" timestamp with time zone DEFAULT now() NOT NULL,
	"expires_at" timestamp with time zone NOT NULL,
	"used_at" timestamp with time zone,
	"used_by" text,
	CONSTRAINT "runner_join_token_token_sha256_unique" UNIQUE("token_sha256"),
	CONSTRAINT "runner_join_token_used_by_somebody" CHECK (("runner_join_token"."used_at" is null) = ("runner_join_token"."used_by" is null)),
	CONSTRAINT "runner_join_token_is_short_lived" CHECK ("runner_join_token"."expires_at" <= "runner_join_token"."created_at" + interval '1 hour'),
	CONSTRAINT "runner_join_token_of_its_runner" CHECK ("runner_join_token"."used_by" = coalesce("runner_join_token"."runner_id", "runner_join_token"."used_by"))
);
--> statement-breakpoint
CREATE TABLE "runner_secret" (
	"runner_id" text PRIMARY KEY NOT NULL,
	"secret_sha256" text NOT NULL,
	"token_id" text NOT NULL,
	"joined_at" timestamp with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "runner_secret_secret_sha256_unique" UNIQUE("secret_sha256")
);
--> statement-breakpoint
ALTER TABLE "job" DROP CONSTRAINT "job_artifact_iff_completed";--> statement-breakpoint
ALTER TABLE "api_key" ADD COLUMN "last_used_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "prompt_policy" text;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "result_policy" text;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "moderate_at" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "moderation_tries" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
CREATE INDEX "job_to_moderate" ON "job" USING btree ("moderate_at") WHERE "job"."moderate_at" is not null;--> statement-breakpoint
CREATE INDEX "job_with_a_withheld_result" ON "job" USING btree ("id") WHERE "job"."artifact_key" is not null and "job"."error_code" is not null;--> statement-breakpoint
ALTER TABLE "job" ADD CONSTRAINT "job_artifact_if_rendered" CHECK (case when "job"."state"::text in ('completed', 'moderating') then "job"."artifact_key" is not null
        when "job"."state" in ('failed', 'cancelled') then true else "job"."artifact_key" is null end);--> statement-breakpoint
ALTER TABLE "job" ADD CONSTRAINT "job_moderated_iff_moderating" CHECK (("job"."state"::text = 'moderating') = ("job"."moderate_at" is not null));--> statement-breakpoint
-- The admin audit log is append-only: its rows are never changed or removed, and its head moves on by one row at a time.
CREATE FUNCTION admin_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the admin audit log is append-only' USING ERRCODE = 'insufficient_privilege';
END $$;--> statement-breakpoint
CREATE FUNCTION admin_audit_head_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.seq <> OLD.seq + 1 OR NOT EXISTS (SELECT FROM admin_audit a WHERE a.seq = NEW.seq AND a.hash = NEW.hash AND a.prev_hash = OLD.hash) THEN
    RAISE EXCEPTION 'the head of the admin audit log moves on by one row' USING ERRCODE = 'insufficient_privilege';
  END IF;
  RETURN NEW;
END $$;--> statement-breakpoint
INSERT INTO "admin_audit_head" ("singleton", "seq", "hash") VALUES (true, 0, repeat('0', 64));--> statement-breakpoint
CREATE TRIGGER admin_audit_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON "admin_audit" FOR EACH STATEMENT EXECUTE FUNCTION admin_audit_is_append_only();--> statement-breakpoint
CREATE TRIGGER admin_audit_head_kept BEFORE DELETE OR TRUNCATE ON "admin_audit_head" FOR EACH STATEMENT EXECUTE FUNCTION admin_audit_is_append_only();--> statement-breakpoint
CREATE TRIGGER admin_audit_head_steps BEFORE UPDATE ON "admin_audit_head" FOR EACH ROW EXECUTE FUNCTION admin_audit_head_moves_on();
