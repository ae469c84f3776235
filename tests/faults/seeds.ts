/** Runs seeds one after another, each twice; says how much was simulated, or where and how it broke. */
import { forbidRealTime } from "./kernel/guard.ts";
import { Simulation } from "./world/simulation.ts";

const TRACE_LINES = 60;
const HOUR_MS = 3_600_000;

export interface Order {
  readonly first: number;
  readonly seeds: number;
  /** No further seed once this many events were handled. */
  readonly steps: number;
  readonly once: boolean;
  readonly trace: boolean;
  /** What a failing seed is reproduced with. */
  readonly command: string;
}

interface Outcome {
  readonly events: number;
  readonly virtualMs: number;
  readonly hash: string;
  readonly error: Error | null;
  readonly trace: readonly string[];
  readonly faults: ReadonlyMap<string, number>;
}

async function runSeed(seed: number): Promise<Outcome> {
  const simulation = new Simulation(seed);
  const { kernel } = simulation;
  const unhandled = (error: unknown): void =>
    // The program would end by it.
    kernel.fail(error instanceof Error ? error : new Error(String(error)));
  process.on("unhandledRejection", unhandled);
  const allow = forbidRealTime();
  let broken: Error | null = null;
  try {
    await simulation.run();
  } catch (error) {
    broken = error as Error;
  } finally {
    allow();
    process.off("unhandledRejection", unhandled);
  }
  const { events, nowMs, log, trace } = kernel;
  return { events, virtualMs: nowMs, hash: log.text, error: broken, trace, faults: simulation.nemesis.drawn };
}

/** True if something broke. */
export async function runSeeds({ first, seeds, steps, once, trace, command }: Order): Promise<boolean> {
  const startedMs = performance.now();
  const faults = new Map<string, number>();
  let events = 0;
  let virtualMs = 0;
  let ran = 0;
  const say = (text: string) => process.stdout.write(`${text}\n`);
  const summary = () => {
    const seconds = (performance.now() - startedMs) / 1_000;
    const rate = Math.round((events * (once ? 1 : 2)) / seconds);
    say(
      `${ran} seeds${once ? "" : ", each twice with the same log"}: ${events} events, ${(virtualMs / HOUR_MS).toFixed(2)} virtual hours, ${seconds.toFixed(1)} s, ${rate} events/s`,
    );
    say(
      `faults: ${[...faults]
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([kind, times]) => `${kind} ${times}`)
        .join(", ")}`,
    );
  };
  for (let seed = first; seed < first + seeds && events < steps; seed++) {
    const outcome = await runSeed(seed);
    ran++;
    events += outcome.events;
    virtualMs += outcome.virtualMs;
    for (const [kind, times] of outcome.faults) faults.set(kind, (faults.get(kind) ?? 0) + times);
    const again = once ? outcome : await runSeed(seed);
    const differs = again.hash !== outcome.hash;
    if (outcome.error === null && !differs) continue;
    if (trace) say(outcome.trace.slice(-TRACE_LINES).join("\n"));
    say(`seed ${seed} broke after ${outcome.events} events, ${(outcome.virtualMs / 1_000).toFixed(1)} virtual seconds`);
    if (differs) say(`two runs of it differ: ${outcome.hash} and ${again.hash}`);
    if (outcome.error !== null)
      say(outcome.error.name === "Violation" ? outcome.error.message : (outcome.error.stack ?? ""));
    say(`found after ${ran} seeds and ${events} events; again: ${command} --first ${seed} --seeds 1 --once --trace`);
    summary();
    return true;
  }
  summary();
  return false;
}
