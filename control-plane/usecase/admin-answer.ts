/** What the operator's acts answer: a value, or a refusal that names the field. */
import type { AccountEntry } from "#control-plane/db/admin.ts";
import type { AdminAccount } from "#protocol/admin.ts";
import type { Refusal } from "#protocol/error.ts";
import type { z } from "zod";

export type Answer<Value> =
  | { readonly ok: true; readonly value: Value }
  | { readonly ok: false; readonly refusal: Refusal };

export const NO_ACCOUNT: Refusal = { code: "not_found", message: "No such account." };

export function answer<Value>(value: Value): Answer<Value> {
  return { ok: true, value };
}

export function refuse<Value>(refusal: Refusal): Answer<Value> {
  return { ok: false, refusal };
}

export function unknownTier(tiers: readonly { readonly name: string }[]): Refusal {
  const names = tiers.map(({ name }) => name).join(", ");
  return { code: "invalid_value", param: "tier", message: `Invalid 'tier': it must be one of ${names}.` };
}

export function accountOf(row: AccountEntry): z.infer<typeof AdminAccount> {
  return { id: row.id, name: row.name, tier: row.tier, created_at: secondsOf(row.createdAt) };
}

export function secondsOf(moment: Date): number {
  return Math.floor(moment.getTime() / 1_000);
}
