/** Branded integer units. Money, time and sizes are integers; a division states its rounding with `ceilDiv`. */
import { z } from "zod";
import { invariant } from "./invariant.ts";

/** Thousandths of a credit: the finest amount the ledger knows. Decimal text on the wire, bigint inside. */
export const MilliCredits = z.bigint().brand<"MilliCredits">();
export type MilliCredits = z.infer<typeof MilliCredits>;

export function milliCredits(amount: bigint): MilliCredits {
  return MilliCredits.parse(amount);
}

/** H100-equivalent GPU time of a job, in milliseconds: the scheduler's currency. */
export const GpuMillis = z.int().nonnegative().brand<"GpuMillis">();
export type GpuMillis = z.infer<typeof GpuMillis>;

/** A credit amount as users see it: decimal text with at most three places, e.g. `"12"` or `"0.25"`. */
export const CreditsText = z.string().regex(/^-?\d+(\.\d{1,3})?$/);

/** `1250n` → `"1.25"`. */
export function creditsText(amount: bigint): string {
  const sign = amount < 0n ? "-" : "";
  const magnitude = amount < 0n ? -amount : amount;
  const fraction = String(magnitude % 1000n)
    .padStart(3, "0")
    .replace(/0+$/, "");
  return `${sign}${magnitude / 1000n}${fraction === "" ? "" : `.${fraction}`}`;
}

/** `"1.25"` → `1250n`; the text has been checked by `CreditsText`. */
export function milliCreditsOf(text: string): MilliCredits {
  const [whole = "0", fraction = ""] = text.replace("-", "").split(".");
  const magnitude = BigInt(whole) * 1000n + BigInt(fraction.padEnd(3, "0"));
  return milliCredits(text.startsWith("-") ? -magnitude : magnitude);
}

/** Rounds up; both operands are non-negative. */
export function ceilDiv(dividend: bigint, divisor: bigint): bigint {
  invariant(divisor > 0n && dividend >= 0n, "ceilDiv takes a non-negative dividend and a positive divisor");
  return (dividend + divisor - 1n) / divisor;
}
