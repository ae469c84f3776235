/** What may happen to the model world, as data that fast-check makes up and shrinks. `pick` chooses one of those at hand. */
import fc from "fast-check";
import { ACCOUNT_NAMES, CLASSES, RUNNERS, TIER_NAMES } from "./studio.ts";

export type Command =
  | {
      readonly t: "submit";
      readonly account: string;
      readonly class: string;
      readonly steps: number;
      readonly count: number;
      readonly weights: string;
    }
  /** Time goes by; what ends meanwhile ends. */
  | { readonly t: "pass"; readonly ms: number }
  /** A waiting job is cancelled. */
  | { readonly t: "withdraw"; readonly pick: number }
  /** A running job is cancelled: it has done what it has done. */
  | { readonly t: "cancel"; readonly pick: number }
  /** An attempt breaks: the job waits again, after a backoff, rather elsewhere. */
  | { readonly t: "break"; readonly pick: number; readonly backoffMs: number }
  /** The administrator gives a tier other terms. */
  | { readonly t: "terms"; readonly tier: string; readonly variant: number }
  | { readonly t: "move"; readonly account: string; readonly tier: string }
  | { readonly t: "runner"; readonly runner: string; readonly up: boolean }
  /** The next batch of placements is not committed: its jobs are gone, or wait as before. */
  | { readonly t: "refuse"; readonly how: "gone" | "again" }
  /** Runners say how far they are. */
  | { readonly t: "report" }
  /** Another replica leads: the world is rebuilt from what Postgres holds. */
  | { readonly t: "takeover" };

export type CommandKind = Command["t"];

const pick = fc.nat(1_000);
const submit = (classes: readonly string[], stepsMax: number) =>
  fc.record({
    t: fc.constant("submit" as const),
    account: fc.constantFrom(...ACCOUNT_NAMES),
    class: fc.constantFrom(...classes),
    steps: fc.integer({ min: 1, max: stepsMax }),
    count: fc.integer({ min: 1, max: 4 }),
    weights: fc.constantFrom("w0", "w1"),
  });

const ARBITRARIES: { readonly [Kind in CommandKind]: fc.Arbitrary<Extract<Command, { readonly t: Kind }>> } = {
  submit: submit(
    CLASSES.map(({ id }) => id),
    90,
  ),
  pass: fc.record({ t: fc.constant("pass" as const), ms: fc.integer({ min: 1, max: 60_000 }) }),
  withdraw: fc.record({ t: fc.constant("withdraw" as const), pick }),
  cancel: fc.record({ t: fc.constant("cancel" as const), pick }),
  break: fc.record({ t: fc.constant("break" as const), pick, backoffMs: fc.constantFrom(0, 5_000, 40_000) }),
  terms: fc.record({
    t: fc.constant("terms" as const),
    tier: fc.constantFrom(...TIER_NAMES),
    variant: fc.nat(2),
  }),
  move: fc.record({
    t: fc.constant("move" as const),
    account: fc.constantFrom(...ACCOUNT_NAMES),
    tier: fc.constantFrom(...TIER_NAMES),
  }),
  runner: fc.record({
    t: fc.constant("runner" as const),
    runner: fc.constantFrom(...RUNNERS.map(({ id }) => id)),
    up: fc.boolean(),
  }),
  refuse: fc.record({ t: fc.constant("refuse" as const), how: fc.constantFrom("gone" as const, "again" as const) }),
  report: fc.record({ t: fc.constant("report" as const) }),
  takeover: fc.record({ t: fc.constant("takeover" as const) }),
};

const WEIGHTS: Readonly<Record<CommandKind, number>> = {
  submit: 12,
  pass: 10,
  report: 2,
  withdraw: 1,
  cancel: 1,
  break: 1,
  terms: 1,
  move: 1,
  runner: 2,
  refuse: 1,
  takeover: 1,
};

export const ALL: readonly CommandKind[] = Object.keys(WEIGHTS) as CommandKind[];
/** Nothing fails, nobody interferes. */
export const FAULT_FREE: readonly CommandKind[] = ["submit", "pass", "report"];

export interface HistoryOptions {
  readonly kinds?: readonly CommandKind[];
  readonly classes?: readonly string[];
  readonly stepsMax?: number;
  readonly commandsMax?: number;
}

export function history(options: HistoryOptions = {}): fc.Arbitrary<readonly Command[]> {
  const { kinds = ALL, classes = CLASSES.map(({ id }) => id), stepsMax = 90, commandsMax = 80 } = options;
  const command = fc.oneof(
    ...kinds.map((kind) => ({
      weight: WEIGHTS[kind],
      arbitrary: kind === "submit" ? submit(classes, stepsMax) : (ARBITRARIES[kind] as fc.Arbitrary<Command>),
    })),
  );
  return fc.array(command, { maxLength: commandsMax, size: "max" });
}
