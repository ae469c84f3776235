/** A runner's folder as a join leaves it: the test's control plane knows this one secret. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export const SECRET = `csr_${"0123456789abcdef".repeat(4)}`;

export function haveJoined(dir: string, runner = "runner-1"): void {
  mkdirSync(dir, { recursive: true });
  writeFileSync(join(dir, "identity.json"), identityOf(runner), { mode: 0o600 });
}

export function identityOf(runner: string): string {
  return JSON.stringify({ runner, secret: SECRET });
}
