/**
 * Slows down who calls without a key that could be one, by address: nobody who has a key is ever counted here.
 *
 * On Cloudflare the `IP_SHIELD` binding counts, if it is bound, per location and about right; elsewhere, and without the
 * binding, this isolate counts for itself. The address is Cloudflare's word or the runtime's, never the client's.
 */
import type { Refusal } from "#protocol/error.ts";
import { charge, ratePerMinute } from "./core/rate-limit.ts";

const RATE = ratePerMinute(120, 60);
/** Addresses that are remembered; beyond it the one that was charged longest ago is forgotten. */
const ADDRESSES_MAX = 10_000;
/** The binding does not say when to come back; its period is a minute. */
const BINDING_RETRY_AFTER_S = 10;

const tatOf = new Map<string, number>();

export async function shieldRefusal(
  request: Request,
  binding: RateLimit | undefined,
  nowMs: number,
): Promise<Refusal | null> {
  const address = addressOf(request);
  if (binding !== undefined) {
    return (await binding.limit({ key: address })).success ? null : refused(BINDING_RETRY_AFTER_S);
  }
  const charged = charge(tatOf.get(address), RATE, nowMs);
  tatOf.delete(address);
  tatOf.set(address, charged.tatMicros);
  const oldest = tatOf.keys().next();
  if (tatOf.size > ADDRESSES_MAX && !oldest.done) tatOf.delete(oldest.value);
  return charged.ok ? null : refused(Math.ceil(charged.waitMs / 1_000));
}

/**
 * workerd itself says who is at the other end of the connection (`cf.clientIp`); Cloudflare sets `CF-Connecting-IP` and
 * lets nobody else set it. `X-Forwarded-For` is anybody's.
 */
export function addressOf(request: Request): string {
  const peer = (request.cf as { readonly clientIp?: unknown } | undefined)?.clientIp;
  if (typeof peer === "string") return peer.replace(/:\d+$/, "");
  return request.headers.get("cf-connecting-ip") ?? "unknown";
}

function refused(retryAfterSeconds: number): Refusal {
  return {
    code: "rate_limit_exceeded",
    message: `Too many calls without a valid API key from your address. Try again in ${retryAfterSeconds} s.`,
    retryAfterSeconds,
  };
}
