/** The tiny models of `tests/engines/diffusers/tiny_models.py`, made once for all test files: the name of their model file. */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import type { TestProject } from "vitest/node";
import { PYTHON } from "./python.ts";

declare module "vitest" {
  interface ProvidedContext {
    readonly tinyModelFile: string;
  }
}

const BUILDER = fileURLToPath(new URL("tiny_models.py", import.meta.url));

export default async function setup({ provide }: TestProject): Promise<() => Promise<void>> {
  const dir = await mkdtemp(join(tmpdir(), "callsheet-models-"));
  await promisify(execFile)(PYTHON, ["-B", BUILDER, dir, "wan", "wan-other"]);
  provide("tinyModelFile", join(dir, "models.json"));
  return () => rm(dir, { recursive: true, force: true });
}
