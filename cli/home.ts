/**
 * The folder one `npm start` works in (`CALLSHEET_HOME`): who holds it, and the secrets made once and kept in it.
 *
 * Promise: two supervisors never share a folder; files with secrets are readable by their owner only.
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { commandOf, errorCode, isAlive } from "./process-table.ts";

const SECRET_BYTES = 32;

export const Secrets = z.object({
  admin_token: z.string().min(16),
  edge_secret: z.string().min(16),
  store_secret: z.string().min(16),
  postgres_password: z.string().min(16),
});
export type Secrets = z.infer<typeof Secrets>;

export interface HeldHome {
  readonly path: string;
  /** The last holder did not leave in order: its children may still be on their way out. */
  readonly takenOver: boolean;
  release(): void;
}

export function holdHome(path: string): HeldHome {
  for (const folder of ["", "logs", "store", "runners", "edge"]) {
    mkdirSync(join(path, folder), { recursive: true });
  }
  const lock = join(path, "supervisor.pid");
  const takenOver = takeLock(lock, path);
  rmSync(join(path, "dev.json"), { force: true });
  return { path, takenOver, release: () => rmSync(lock, { force: true }) };
}

export function keepSecrets(home: string): Secrets {
  const file = join(home, "secrets.json");
  const kept = readJson(file);
  const fresh = Object.fromEntries(
    Object.keys(Secrets.shape).map((name) => [name, randomBytes(SECRET_BYTES).toString("base64url")]),
  );
  const secrets = Secrets.parse({ ...fresh, ...z.record(z.string(), z.unknown()).parse(kept ?? {}) });
  writePrivately(file, secrets);
  return secrets;
}

/** Replaces `file` in one step, readable by its owner only. */
export function writePrivately(file: string, value: unknown): void {
  const next = `${file}.${process.pid}.next`;
  writeFileSync(next, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
  renameSync(next, file);
}

/** The parsed content of `file`, or null where there is none. */
export function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, "utf8"));
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw new Error(`Cannot read ${file}; move it away to have a new one made.`, { cause: error });
  }
}

function takeLock(lock: string, path: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx", mode: 0o600 });
    return false;
  } catch (error) {
    if (errorCode(error) !== "EEXIST") throw error;
  }
  const pid = Number(readFileSync(lock, "utf8"));
  if (pid > 1 && pid !== process.pid && isAlive(pid) && (commandOf(pid) ?? "").includes("start.ts")) {
    throw new Error(
      `Another \`npm start\` (pid ${pid}) uses ${path}. Stop it, or set CALLSHEET_HOME to another folder.`,
    );
  }
  writeFileSync(lock, String(process.pid), { mode: 0o600 });
  return true;
}
