/** The tiny models of `tests/engines/diffusers/tiny_models.py`, made once for each test file, and the Python that makes them. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const BUILDER = fileURLToPath(new URL("tiny_models.py", import.meta.url));
const VENV =
  process.env["CALLSHEET_DIFFUSERS_VENV"] ??
  fileURLToPath(new URL("../../../.callsheet/diffusers-venv", import.meta.url));

export const PYTHON = join(VENV, "bin/python");

export interface TinyModels {
  readonly modelFile: string;
  remove(): Promise<void>;
}

export async function makeTinyModels(...names: readonly string[]): Promise<TinyModels> {
  const dir = await mkdtemp(join(tmpdir(), "callsheet-models-"));
  await promisify(execFile)(PYTHON, ["-B", BUILDER, dir, ...names]);
  return { modelFile: join(dir, "models.json"), remove: () => rm(dir, { recursive: true, force: true }) };
}
