/** `npm run sim:mutants -- [--seeds N] [--only NAME]`: plants each mutant and runs seeds until it is found; all must be. */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { MUTANTS } from "./mutants.ts";

const RUN = fileURLToPath(new URL("run.ts", import.meta.url));

interface Hunt {
  readonly name: string;
  readonly says: string;
  readonly seed: string;
  readonly events: string;
  readonly how: string;
  readonly found: boolean;
}

const { values } = parseArgs({ options: { seeds: { type: "string", default: "300" }, only: { type: "string" } } });

function hunt({ name, says }: (typeof MUTANTS)[number], seeds: string): Hunt {
  const { stdout, stderr, status } = spawnSync(process.execPath, [RUN, "--mutant", name, "--seeds", seeds], {
    encoding: "utf8",
  });
  const broke = /^seed (\d+) broke/m.exec(stdout);
  if (broke === null && status !== 0) throw new Error(`mutant '${name}' could not be run:\n${stdout}${stderr}`);
  const events = /^found after \d+ seeds and (\d+) events/m.exec(stdout)?.[1] ?? "";
  const how = /^seed .*\n(.*)$/m.exec(stdout)?.[1] ?? "";
  return { name, says, seed: broke?.[1] ?? "-", events, how: how.slice(0, 100), found: broke !== null };
}

const startedMs = performance.now();
const hunts: Hunt[] = [];
for (const mutant of MUTANTS) {
  if (values.only !== undefined && values.only !== mutant.name) continue;
  const result = hunt(mutant, values.seeds);
  hunts.push(result);
  const { name, seed, events, how, found } = result;
  process.stdout.write(
    `${name.padEnd(24)} ${found ? `seed ${seed}`.padEnd(9) : "NOT FOUND"} ${events.padStart(9)}  ${how}\n`,
  );
}
const missed = hunts.filter(({ found }) => !found);
const seconds = ((performance.now() - startedMs) / 1_000).toFixed(1);
process.stdout.write(`${hunts.length - missed.length} of ${hunts.length} mutants found in ${seconds} s\n`);
process.exitCode = missed.length === 0 ? 0 : 1;
