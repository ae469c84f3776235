/** `npm run sim:mutants -- [--seeds N] [--only NAME]`: plants each mutant and runs seeds until it is found; all must be. */
import { execFile } from "node:child_process";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs, promisify } from "node:util";
import { MUTANTS } from "./mutants.ts";
import type { Mutant } from "./system/hooks.ts";

const RUN = fileURLToPath(new URL("run.ts", import.meta.url));

interface Hunt {
  readonly name: string;
  readonly says: string;
  readonly seed: string;
  readonly events: string;
  readonly how: string;
  readonly found: boolean;
}

const { values } = parseArgs({
  options: {
    seeds: { type: "string", default: "600" },
    only: { type: "string" },
    "at-once": { type: "string", default: String(availableParallelism()) },
  },
});

const run = promisify(execFile);

/** The seed that found it last, then all. */
async function hunt(mutant: Mutant): Promise<Hunt> {
  const again = await huntFrom(mutant, mutant.seed, "1");
  return again.found ? again : huntFrom(mutant, 1, values.seeds);
}

async function huntFrom({ name, says }: Mutant, first: number, seeds: string): Promise<Hunt> {
  const order = [RUN, "--mutant", name, "--first", String(first), "--seeds", seeds];
  // A run that finds something ends with 1; what it says counts.
  const { stdout, stderr } = await run(process.execPath, order).catch(
    (error: unknown) => error as { readonly stdout: string; readonly stderr: string },
  );
  const broke = /^seed (\d+) broke/m.exec(stdout);
  if (broke === null && stderr !== "") throw new Error(`mutant '${name}' could not be run:\n${stdout}${stderr}`);
  const events = /^found after \d+ seeds and (\d+) events/m.exec(stdout)?.[1] ?? "";
  const how = /^seed .*\n(.*)$/m.exec(stdout)?.[1] ?? "";
  return { name, says, seed: broke?.[1] ?? "-", events, how: how.slice(0, 100), found: broke !== null };
}

const startedMs = performance.now();
const hunts: Hunt[] = [];
const waiting = MUTANTS.filter(({ name }) => values.only === undefined || values.only === name);

async function huntOn(): Promise<void> {
  for (let mutant = waiting.shift(); mutant !== undefined; mutant = waiting.shift()) {
    const result = await hunt(mutant);
    hunts.push(result);
    const { name, seed, events, how, found } = result;
    const where = found ? `seed ${seed}`.padEnd(9) : "NOT FOUND";
    process.stdout.write(`${name.padEnd(24)} ${where} ${events.padStart(9)} events  ${how}\n`);
  }
}

await Promise.all(Array.from({ length: Number(values["at-once"]) }, huntOn));
const missed = hunts.filter(({ found }) => !found);
const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
process.stdout.write(`${hunts.length - missed.length} of ${hunts.length} mutants found in ${seconds} s\n`);
for (const { name, says } of missed) process.stdout.write(`not found: ${name}: ${says}\n`);
process.exitCode = missed.length === 0 ? 0 : 1;
