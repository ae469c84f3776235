/** Columns that every table spells the same way. */
import { bigint, timestamp } from "../drizzle.ts";
import type { MilliCredits } from "#protocol/unit.ts";

export const moment = (name: string) => timestamp(name, { withTimezone: true, mode: "date" });
export const amount = (name: string) => bigint(name, { mode: "bigint" }).$type<MilliCredits>();

/** The values of a wire enum as the non-empty tuple that `pgEnum` wants. */
export function valuesOf<const Value extends string>(schema: {
  readonly options: readonly Value[];
}): [Value, ...Value[]] {
  const [first, ...rest] = schema.options;
  if (first === undefined) throw new TypeError("an enum needs a value");
  return [first, ...rest];
}
