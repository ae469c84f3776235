/** A whole number in a query: its digits, and nothing that merely could be read as one (`""` as 0, `1e1`, `0x10`). */
import { z } from "zod";

const DIGITS = /^\d{1,15}$/;

export function queryNumber(min: number, max: number) {
  const error = `must be a whole number from ${min} to ${max}.`;
  return z
    .union([z.number(), z.string().regex(DIGITS)], { error })
    .transform(Number)
    .pipe(z.int(error).min(min, `must be at least ${min}.`).max(max, `must be at most ${max}.`));
}
