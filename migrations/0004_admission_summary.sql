CREATE TABLE "admission_summary" (
	"tier" text NOT NULL,
	"class" text NOT NULL,
	"queued" integer NOT NULL,
	"backlog_ms" bigint NOT NULL,
	"start_p50_ms" bigint,
	"start_p90_ms" bigint,
	"epoch" integer NOT NULL,
	"at" timestamp with time zone NOT NULL,
	CONSTRAINT "admission_summary_tier_class_pk" PRIMARY KEY("tier","class"),
	CONSTRAINT "admission_summary_start_whole" CHECK (("admission_summary"."start_p50_ms" is null) = ("admission_summary"."start_p90_ms" is null) and "admission_summary"."start_p50_ms" <= "admission_summary"."start_p90_ms")
);
--> statement-breakpoint
ALTER TABLE "leader" ADD COLUMN "url" text;