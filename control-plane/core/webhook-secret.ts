/**
 * The secrets of an endpoint: the newest signs, and those it replaced sign beside it until their overlap ends, so that a
 * receiver can change over without losing a webhook.
 */

export interface RetiringSecret {
  readonly secret: string;
  readonly untilMs: number;
}

export interface Secrets {
  readonly secret: string;
  readonly retiring: readonly RetiringSecret[];
}

/** Older ones stop signing: every signature makes the header longer. */
export const RETIRING_SECRETS_MAX = 3;

/** `overlapMs` 0 takes the old secrets out of use at once, as a leak demands. */
export function rotated({ secret, retiring }: Secrets, fresh: string, overlapMs: number, nowMs: number): Secrets {
  const untilMs = nowMs + overlapMs;
  const still = [{ secret, untilMs }, ...retiring]
    .map((one) => ({ ...one, untilMs: Math.min(one.untilMs, untilMs) }))
    .filter((one) => one.untilMs > nowMs);
  return { secret: fresh, retiring: still.slice(0, RETIRING_SECRETS_MAX) };
}

/** All that sign now, the newest first. */
export function signing({ secret, retiring }: Secrets, nowMs: number): readonly string[] {
  return [secret, ...retiring.filter(({ untilMs }) => untilMs > nowMs).map((one) => one.secret)];
}
