/** Orders that know no accounts: first come, first served, and the same within tiers. */
import type { Order } from "./baseline.ts";

/** More than any run has jobs. */
const SEQ_MAX = 2 ** 32;

/** Strict head: nobody overtakes a job that does not fit. */
export function fifo(): Order {
  return { name: "fifo", blocked: "stop", keyOf: (_account, head) => head.seq };
}

/** EASY backfill: the first blocked head reserves by runtime estimates, others may overtake if they do not delay it. */
export function fifoEasy(): Order {
  return { name: "fifo-easy", blocked: "reserve", keyOf: (_account, head) => head.seq };
}

/** The tier of most weight first, whatever it costs the others. */
export function tierStrict(): Order {
  return {
    name: "tier-strict",
    blocked: "skip",
    keyOf: (account, head) => head.seq - account.terms.weight * SEQ_MAX,
  };
}
