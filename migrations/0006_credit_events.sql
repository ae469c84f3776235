ALTER TYPE "public"."event_type" ADD VALUE 'credits.low_balance';--> statement-breakpoint
ALTER TYPE "public"."event_type" ADD VALUE 'credits.grant_expiring';--> statement-breakpoint
ALTER TYPE "public"."event_type" ADD VALUE 'credits.refunded';--> statement-breakpoint
ALTER TYPE "public"."event_type" ADD VALUE 'credits.make_good';--> statement-breakpoint
CREATE TABLE "credit_notice" (
	"account_id" text NOT NULL,
	"subject" text NOT NULL,
	"told_at" timestamp with time zone NOT NULL,
	CONSTRAINT "credit_notice_account_id_subject_pk" PRIMARY KEY("account_id","subject")
);
--> statement-breakpoint
CREATE TABLE "credit_watch" (
	"singleton" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"epoch" integer NOT NULL,
	"through" timestamp with time zone NOT NULL,
	CONSTRAINT "credit_watch_single_row" CHECK ("credit_watch"."singleton")
);
--> statement-breakpoint
ALTER TABLE "event" ALTER COLUMN "job_id" DROP NOT NULL;--> statement-breakpoint
ALTER TABLE "credit_notice" ADD CONSTRAINT "credit_notice_account_id_account_id_fk" FOREIGN KEY ("account_id") REFERENCES "public"."account"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "event" ADD CONSTRAINT "event_of_a_video_names_it" CHECK ("event"."type"::text not like 'video.%' or ("event"."job_id" is not null and "event"."data" ->> 'id' = "event"."job_id"));