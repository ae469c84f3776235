/** The edge's bundle with the storm's doors, put where `npm start` finds it, and what the objects wrote of their lives. */
import { execFile } from "node:child_process";
import { copyFile, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { BUNDLE_HASH_FILE, EDGE_SOURCES, hashSources } from "#cli/edge-bundle.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const ENTRY = "tests/edge/storm-worker.ts";

/** The supervisor takes it for its own: it bears the hash of the sources that it would bundle. */
export async function bundleWithDoors(home: string): Promise<void> {
  const folder = join(home, "edge");
  await mkdir(folder, { recursive: true });
  const wrangler = join(dirname(createRequire(import.meta.url).resolve("wrangler/package.json")), "bin/wrangler.js");
  await promisify(execFile)(
    process.execPath,
    [wrangler, "deploy", ENTRY, "--dry-run", "--env=", `--outdir=${folder}`],
    {
      cwd: ROOT,
      env: { PATH: dirname(process.execPath), HOME: folder, CI: "1", WRANGLER_SEND_METRICS: "false" },
    },
  );
  await rename(join(folder, "storm-worker.js"), join(folder, "worker.js"));
  await copyFile(join(ROOT, "deploy/workerd.capnp"), join(folder, "workerd.capnp"));
  await writeFile(join(folder, BUNDLE_HASH_FILE), await hashSources(ROOT, EDGE_SOURCES));
}

/** From the edge's log: an object that is born again although nothing aborted it and its process lives was evicted. */
export async function countEvictions(home: string): Promise<number> {
  const log = await readFile(join(home, "logs", "edge.log"), "utf8");
  const alive = new Set<string>();
  let evictions = 0;
  for (const [, word = "", id = ""] of log.matchAll(/storm (began|born|aborted)(?: ([0-9a-f]+))?/g)) {
    if (word === "began") alive.clear();
    else if (word === "aborted") alive.delete(id);
    else if (alive.has(id)) evictions += 1;
    else alive.add(id);
  }
  return evictions;
}
