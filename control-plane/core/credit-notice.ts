/**
 * When an account is told about its credits. A notice is told once: the low balance again only after the balance has
 * recovered well above the threshold, so that jobs around it do not repeat it; a grant's end once a grant.
 */
import { milliCredits } from "#protocol/unit.ts";

/** About one default video (720p, 4 s) of the reference model. */
export const LOW_BALANCE = milliCredits(25_000n);
/** From here on the next fall below the threshold is told again. */
export const LOW_BALANCE_OVER = milliCredits(2n * LOW_BALANCE);

/** A grant's end is told this long before; of a shorter grant when it is made. */
export const EXPIRING_LEAD_MS = 48 * 3_600_000;

export interface BalanceMove {
  readonly available: bigint;
  /** Credits left the free balance since the last look: a small first grant alone is no low balance. */
  readonly spent: boolean;
  readonly told: boolean;
}

/** `tell`: the event is due. `forget`: the balance recovered, the next fall counts anew. */
export function lowBalanceNotice({ available, spent, told }: BalanceMove): "tell" | "forget" | null {
  if (told) return available >= LOW_BALANCE_OVER ? "forget" : null;
  return spent && available < LOW_BALANCE ? "tell" : null;
}
