/** The edge as a child: plain `workerd serve` over the bundle, with the objects' SQLite files in a folder that it makes. */
import { spawn } from "node:child_process";
import { mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { asChild, type Child } from "./child.ts";
import type { Guard } from "./guard.ts";
import type { LogFile } from "./log-file.ts";

const POLL_MS = 40;
const ANSWER_MS = 2_000;
const STOP_MS = 3_000;

export interface EdgeOptions {
  /** Holds `worker.js` and `workerd.capnp`. */
  readonly bundle: string;
  readonly objectsDir: string;
  readonly port: number;
  readonly controlPlaneUrls: readonly string[];
  readonly signingSecret: string;
  readonly log: LogFile;
  readonly guard: Guard;
}

export function startEdge(options: EdgeOptions): Child {
  mkdirSync(options.objectsDir, { recursive: true });
  const child = spawn(
    workerdPath(),
    [
      "serve",
      join(options.bundle, "workerd.capnp"),
      `--socket-addr=http=127.0.0.1:${options.port}`,
      `--directory-path=objects=${options.objectsDir}`,
    ],
    {
      cwd: options.bundle,
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        CONTROL_PLANE_URLS: options.controlPlaneUrls.join(","),
        EDGE_SIGNING_SECRET: options.signingSecret,
        CALLSHEET_ENV: "development",
      },
    },
  );
  options.log.follow(child.stdout, false);
  options.log.follow(child.stderr, true);
  const ready = Promise.withResolvers<void>();
  const edge = asChild(child, ready, STOP_MS);
  options.guard.watchChild(edge, "SIGTERM");
  const ended = new AbortController();
  void edge.exited.then(() => ended.abort());
  void answersHealth(options.port, ended.signal).then(ready.resolve, ready.reject);
  return edge;
}

/** The workerd that wrangler brings, so that bundle and runtime are always of one release. */
export function workerdPath(): string {
  const fromWrangler = createRequire(createRequire(import.meta.url).resolve("wrangler/package.json"));
  return z.object({ default: z.string() }).parse(fromWrangler("workerd")).default;
}

async function answersHealth(port: number, ended: AbortSignal): Promise<void> {
  while (!ended.aborted) {
    const answer = await fetch(`http://127.0.0.1:${port}/healthz`, { signal: AbortSignal.timeout(ANSWER_MS) }).catch(
      () => null, // not listening yet
    );
    if (answer?.ok === true) return;
    await sleep(POLL_MS);
  }
}
