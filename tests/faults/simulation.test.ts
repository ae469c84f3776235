/** A slice of `npm run sim:faults`, as the program that it is, and that planted bugs would be found. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { MUTANTS } from "./mutants.ts";
import { plant } from "./system/hooks.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const run = promisify(execFile);

async function simulate(...order: readonly string[]): Promise<{ readonly code: number; readonly said: string }> {
  try {
    const { stdout } = await run(process.execPath, [`${ROOT}tests/faults/run.ts`, ...order]);
    return { code: 0, said: stdout };
  } catch (error) {
    const { code, stdout, stderr } = error as {
      readonly code: number;
      readonly stdout: string;
      readonly stderr: string;
    };
    return { code, said: stdout + stderr };
  }
}

test("twelve seeds of faults break no promise, and each gives the same history twice", async () => {
  const { code, said } = await simulate("--seeds", "12");
  expect(said).toMatch(/^12 seeds, each twice with the same log: \d+ events/);
  expect(code).toBe(0);
});

test("a planted bug is found, and one command shows it again", async () => {
  const { code, said } = await simulate("--mutant", "hold-stays-open", "--seeds", "5");
  expect(code).toBe(1);
  const again = /again: npm run -s sim:faults -- (.*)$/m.exec(said)?.[1] ?? "";
  const seen = await simulate(...again.split(" "));
  expect(seen.said).toContain(/^seed \d+ broke.*\n(.*)$/m.exec(said)?.[1] ?? "the seed broke");
});

test("every planted bug still fits the code that it is planted in", () => {
  const rotten = MUTANTS.flatMap((mutant) => {
    try {
      plant(readFileSync(`${ROOT}${mutant.file}`, "utf8"), mutant);
      return [];
    } catch (error) {
      return [(error as Error).message];
    }
  });
  expect(rotten).toEqual([]);
  expect(new Set(MUTANTS.map(({ name }) => name)).size).toBe(MUTANTS.length);
});
