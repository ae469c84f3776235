/** The admin listener (own port, own bearer token): accounts, keys, grants, runners. What it says of terms: `admin-terms.ts`. */
import { z } from "zod";
import { AccountId, RunnerId } from "./id.ts";
import { storable } from "./text.ts";
import { CreditsText } from "./unit.ts";
import { Device, DeviceTelemetry, LeaseRef } from "./runner.ts";

export const CreateAccount = z.strictObject({
  name: storable(z.string().min(1).max(120)),
  tier: storable(z.string().max(32)),
});
export const PatchAccount = CreateAccount.partial();
export const AdminAccount = z.object({ id: AccountId, name: z.string(), tier: z.string(), created_at: z.int() });

/** `api_key` is shown once, in the answer to the create. `last_used_at` is exact to the minute. */
export const AdminKey = z.object({
  id: z.string(),
  account_id: AccountId,
  last4: z.string(),
  api_key: z.string().optional(),
  created_at: z.int(),
  last_used_at: z.int().nullable(),
  revoked_at: z.int().nullable(),
});

export const GrantCategory = z.enum(["promotional", "plan", "paid"]);
export const CreateGrant = z.strictObject({
  account_id: AccountId,
  amount: CreditsText.refine((text) => !text.startsWith("-") && Number(text) > 0, "must be more than zero."),
  category: GrantCategory.default("paid"),
  priority: z.int().min(0).max(100).default(50),
  effective_at: z.iso.datetime().optional(),
  expires_at: z.iso.datetime().optional(),
});
export const AdminGrant = z.object({
  id: z.string(),
  object: z.literal("credit_grant"),
  account_id: AccountId,
  amount: CreditsText,
  category: GrantCategory,
  priority: z.int(),
  effective_at: z.int(),
  expires_at: z.int().nullable(),
});

export const AdminRunner = z.object({
  id: RunnerId,
  engine: z.string(),
  build: z.string(),
  models: z.array(z.string()),
  devices: z.array(Device),
  /** `draining`: it takes no new work, by its own will or the operator's. */
  state: z.enum(["connected", "draining", "lost"]),
  /** By the operator, until it is taken back. */
  drained: z.boolean(),
  /** As its drivers told last; empty where there is nothing to tell, or another replica hears it. */
  telemetry: z.array(DeviceTelemetry),
  leases: z.array(LeaseRef),
});
export const PatchRunner = z.strictObject({ drained: z.boolean() });
export const AdminRunnerList = z.object({ object: z.literal("list"), data: z.array(AdminRunner) });
