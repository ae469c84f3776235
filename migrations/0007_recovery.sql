CREATE TABLE "runner_incident" (
	"id" bigserial PRIMARY KEY NOT NULL,
	"runner_id" text NOT NULL,
	"at" timestamp with time zone DEFAULT now() NOT NULL,
	"jobs" text[] NOT NULL,
	CONSTRAINT "runner_incident_has_jobs" CHECK (cardinality("runner_incident"."jobs") > 0)
);
--> statement-breakpoint
CREATE INDEX "runner_incident_by_time" ON "runner_incident" USING btree ("at");--> statement-breakpoint
CREATE INDEX "attempt_by_start" ON "attempt" USING btree ("started_at");--> statement-breakpoint
CREATE INDEX "job_by_lease_end" ON "job" USING btree ("lease_expires_at") WHERE "job"."lease_expires_at" is not null;--> statement-breakpoint
CREATE INDEX "job_by_deadline" ON "job" USING btree ("deadline_at") WHERE "job"."finished_at" is null;