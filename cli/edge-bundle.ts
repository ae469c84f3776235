/**
 * The Worker's bundle, made by wrangler as for a deploy and kept until one of its sources changes.
 *
 * `$CALLSHEET_HOME/edge` then holds `worker.js`, `workerd.capnp` and the hash of what they were made from.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, relative } from "node:path";
import type { Guard } from "./guard.ts";

export const BUNDLE_HASH_FILE = "sources.sha256";
export const EDGE_SOURCES = ["edge", "protocol", "wrangler.toml", "package-lock.json", "deploy/workerd.capnp"] as const;
const FILES_MAX = 2_000;
/** Enough of wrangler's output to see what it stumbled over. */
const OUTPUT_CHARS_MAX = 4_000;

export interface BundleOptions {
  readonly root: string;
  readonly home: string;
  readonly guard: Guard;
  /** Ends a bundling under way. */
  readonly signal: AbortSignal;
}

/** Resolves to the folder of the bundle. */
export async function bundleEdge(options: BundleOptions): Promise<string> {
  const { root, home } = options;
  const folder = join(home, "edge");
  await mkdir(folder, { recursive: true });
  const wanted = await hashSources(root, EDGE_SOURCES);
  const made = await readFile(join(folder, BUNDLE_HASH_FILE), "utf8").catch(() => "");
  if (made === wanted) return folder;
  await rm(join(folder, BUNDLE_HASH_FILE), { force: true }); // a bundling that is cut short must not look finished
  await runWrangler(options, folder);
  await copyFile(join(root, "deploy/workerd.capnp"), join(folder, "workerd.capnp"));
  await writeFile(join(folder, BUNDLE_HASH_FILE), wanted);
  return folder;
}

/** One hash over names and contents, so that a renamed, added or removed file counts too. */
export async function hashSources(root: string, sources: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const source of sources) {
    for (const file of await filesUnder(join(root, source))) {
      const content = await readFile(file);
      hash.update(`${relative(root, file)}\0${content.length}\0`).update(content);
    }
  }
  return hash.digest("hex");
}

async function filesUnder(path: string): Promise<readonly string[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true }).catch(() => null);
  if (entries === null) return [path];
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  if (files.length > FILES_MAX) throw new Error(`${path} holds ${files.length} files; that is no Worker's source.`);
  return files.sort();
}

async function runWrangler({ root, guard, signal }: BundleOptions, folder: string): Promise<void> {
  const manifest = createRequire(import.meta.url).resolve("wrangler/package.json");
  const args = [join(dirname(manifest), "bin/wrangler.js"), "deploy", "--dry-run", "--env=", `--outdir=${folder}`];
  const child = spawn(process.execPath, args, {
    cwd: root,
    detached: true,
    signal,
    stdio: ["ignore", "pipe", "pipe"],
    env: {
      PATH: dirname(process.execPath),
      HOME: folder,
      CI: "1",
      WRANGLER_SEND_METRICS: "false",
      WRANGLER_LOG_PATH: join(folder, "wrangler.log"),
    },
  });
  let output = "";
  const keep = (chunk: Buffer) => (output = (output + chunk.toString()).slice(-OUTPUT_CHARS_MAX));
  child.stdout.on("data", keep);
  child.stderr.on("data", keep);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const pid = child.pid ?? 0;
  if (pid !== 0) guard.watch(pid, "SIGTERM");
  child.once("error", reject);
  child.once("exit", () => guard.forget(pid));
  child.once("close", (code) => {
    if (code === 0) resolve();
    else reject(new Error(`wrangler could not bundle the edge (code ${code}):\n${output}`));
  });
  await promise;
}
