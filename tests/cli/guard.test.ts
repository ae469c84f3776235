/** The guard ends what a killed supervisor leaves. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isAlive } from "#cli/process-table.ts";

const GUARD = new URL("../../cli/guard.ts", import.meta.url).href;

/** A supervisor that watches a sleeper which ignores polite signals, and tells its pids. */
const SUPERVISOR = `
  import { spawn } from "node:child_process";
  import { Guard } from ${JSON.stringify(GUARD)};
  const guard = new Guard();
  const polite = spawn("sleep", ["600"], { detached: true });
  guard.watch(polite.pid, "SIGTERM");
  guard.removeAfterwards(process.argv[2]);
  process.stdout.write(String(polite.pid));
  setInterval(() => {}, 1000);
`;

test("a kill -9 of the supervisor takes its watched processes and temporary folder with it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "callsheet-guard-"));
  const program = join(folder, "supervisor.mjs");
  writeFileSync(program, SUPERVISOR);
  const supervisor = spawn(process.execPath, [program, folder], { stdio: ["ignore", "pipe", "inherit"] });
  const pid = Number(String((await once(supervisor.stdout, "data"))[0]));
  expect(isAlive(pid)).toBe(true);
  supervisor.kill("SIGKILL");
  await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false);
  await expect.poll(() => existsSync(folder), { timeout: 5_000 }).toBe(false);
});
