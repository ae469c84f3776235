/**
 * Accounts whose next create would be refused as the last one was: their queue is full, or everybody's is. For a tenth of the time
 * after which they were told to come again, creates are refused here, before a body is read.
 *
 * In this isolate's memory only: what is forgotten costs one call.
 */
import { ErrorEnvelope, type Refusal } from "#protocol/error.ts";
import type { AccountId } from "#protocol/id.ts";
import { z } from "zod";

const ACCOUNTS_MAX = 10_000;
const HELD_SHARE = 0.1;

const Full = z.looseObject({
  code: z.literal("queue_full"),
  message: z.string(),
  limit: z.number(),
});

interface Held {
  readonly refusal: Refusal;
  readonly untilMs: number;
}

const held = new Map<AccountId, Held>();

export function fullQueueOf(account: AccountId, nowMs: number): Refusal | null {
  const known = held.get(account);
  if (known === undefined) return null;
  if (nowMs < known.untilMs) return known.refusal;
  held.delete(account);
  return null;
}

/** Learns from a refusal that names a limit of the queue. One that names a start is about one class, and another may be free. */
export async function learnFullQueue(account: AccountId, answer: Response, nowMs: number): Promise<void> {
  const seconds = Number(answer.headers.get("retry-after"));
  if (answer.status !== 429 || !(seconds > 0)) return;
  const envelope = ErrorEnvelope.safeParse(
    await answer
      .clone()
      .json()
      .catch(() => null),
  );
  const full = Full.safeParse(envelope.data?.error);
  if (!full.success) return;
  const { code, message, type: _type, param: _param, ...numbers } = full.data;
  const shown = z.record(z.string(), z.union([z.string(), z.number()])).parse(numbers);
  held.delete(account);
  held.set(account, {
    refusal: { code, message, numbers: shown, retryAfterSeconds: seconds },
    untilMs: nowMs + seconds * 1_000 * HELD_SHARE,
  });
  const oldest = held.keys().next();
  if (held.size > ACCOUNTS_MAX && !oldest.done) held.delete(oldest.value);
}
