CREATE TABLE "device_claim" (
	"runner_id" text NOT NULL,
	"device" text NOT NULL,
	"slot" integer NOT NULL,
	"job_id" text NOT NULL,
	CONSTRAINT "device_claim_runner_id_device_slot_pk" PRIMARY KEY("runner_id","device","slot")
);
--> statement-breakpoint
ALTER TABLE "job" ADD COLUMN "slot" integer;--> statement-breakpoint
ALTER TABLE "device_claim" ADD CONSTRAINT "device_claim_job_id_job_id_fk" FOREIGN KEY ("job_id") REFERENCES "public"."job"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "device_claim_by_job" ON "device_claim" USING btree ("job_id");--> statement-breakpoint
ALTER TABLE "job" ADD CONSTRAINT "job_slot_of_one_device" CHECK ("job"."slot" is null or ("job"."runner_id" is not null and cardinality("job"."devices") = 1));