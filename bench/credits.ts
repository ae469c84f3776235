/**
 * What calls on one account cost the calculator, at the end of a history of so many calls.
 *
 * `npm run bench:credits [-- calls]`
 */
import { GpuCreditCalculator } from "#control-plane/core/credit-calculator.ts";

const CALLS = Number(process.argv[2] ?? 10_000);
const ASKED = 200;
const DAY = 86_400;

interface Shape {
  readonly name: string;
  readonly isShuffled: boolean;
  readonly overdraw: "clamp" | "reject";
  /** One grant in so many calls; the rest are uses or held jobs. */
  readonly grantEvery: number;
  readonly lifeSeconds: number | null;
}

const SHAPES: readonly Shape[] = [
  { name: "in order, grants of 30 days", isShuffled: false, overdraw: "reject", grantEvery: 20, lifeSeconds: 30 * DAY },
  {
    name: "in order, every other call a grant for ever",
    isShuffled: false,
    overdraw: "reject",
    grantEvery: 2,
    lifeSeconds: null,
  },
  { name: "shuffled, clamp", isShuffled: true, overdraw: "clamp", grantEvery: 20, lifeSeconds: 30 * DAY },
  {
    name: "shuffled, reject (every late call replays)",
    isShuffled: true,
    overdraw: "reject",
    grantEvery: 20,
    lifeSeconds: 30 * DAY,
  },
];

for (const shape of SHAPES) console.log(JSON.stringify({ shape: shape.name, calls: CALLS, ...measure(shape) }));

function measure(shape: Shape) {
  const random = lcg(1);
  const calls = Array.from({ length: CALLS }, (_, n) => ({ n, at: n * 600, key: random() }));
  if (shape.isShuffled) calls.sort((a, b) => a.key - b.key);
  const credits = new GpuCreditCalculator({ overdraw: shape.overdraw });
  let refused = 0;
  const builtMs = timed(() => {
    for (const { n, at } of calls) if (!play(credits, shape, n, at)) refused++;
  });
  const lastAt = CALLS * 600;
  const balanceUs = perCallUs(() => credits.balance(lastAt));
  const pastUs = perCallUs((turn) => credits.balance(Math.floor((turn / ASKED) * lastAt)));
  const useUs = perCallUs(() => credits.use({ at: lastAt, amount: 1n }));
  const lateUseUs = perCallUs((turn) => credits.use({ at: lastAt - 600 * (turn % 10), amount: 1n }));
  const exhaustedUs = perCallUs(() => credits.exhaustedAt(lastAt));
  return {
    built_ms: Math.round(builtMs),
    refused,
    balance_us: balanceUs,
    past_balance_us: pastUs,
    use_us: useUs,
    late_use_us: lateUseUs,
    exhausted_us: exhaustedUs,
  };
}

/** A grant, a use, or the hold and end of a job. */
function play(credits: GpuCreditCalculator, shape: Shape, n: number, at: number): boolean {
  if (n % shape.grantEvery === 0) {
    const expiresAt = shape.lifeSeconds === null ? null : at + shape.lifeSeconds;
    return credits.grant({ id: `grant${n}`, amount: 100_000n, at, expiresAt }).accepted;
  }
  if (n % 2 === 0) return credits.use({ at, amount: 1_000n }).accepted;
  const job = `job${n}`;
  if (!credits.hold({ job, at, amount: 2_000n }).accepted) return false;
  credits.capture({ job, at: at + 60, amount: 1_500n });
  return credits.release({ job, at: at + 60 }).accepted;
}

function perCallUs(call: (turn: number) => unknown): number {
  const ms = timed(() => {
    for (let turn = 0; turn < ASKED; turn++) call(turn);
  });
  return Math.round((ms * 1_000) / ASKED);
}

function timed(work: () => void): number {
  const startedMs = performance.now();
  work();
  return performance.now() - startedMs;
}

/** The same order in every run. */
function lcg(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state;
  };
}
