import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cloneUnder0700, processesNaming } from "#tests/support/clone.ts";
import type { Clone } from "#tests/support/clone.ts";
import { readMp4 } from "#tests/support/mp4.ts";
import { readDevFile, until } from "#tests/support/product.ts";

/** A database that is shut down waits for its disk, however long that takes. */
const GONE_MS = 60_000;
const ROOT_USER = 0;
const ORDINARY_USER = 65_534;
const isRoot = process.getuid?.() === ROOT_USER;

/** `npm start` in a clone, as a terminal would run it: a process group of its own. */
function npmStart(clone: Clone, user: number, args: readonly string[]) {
  const child = spawn("npm", ["start", ...(args.length === 0 ? [] : ["--", ...args])], {
    cwd: clone.path,
    detached: true,
    ...(isRoot ? { uid: user, gid: user } : {}),
    env: {
      PATH: process.env["PATH"],
      HOME: clone.path,
      CALLSHEET_EDGE_PORT: "0",
      CALLSHEET_ADMIN_PORT: "0",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => output.push(String(text)));
  return { child, output };
}

async function exitOf(child: ChildProcess): Promise<number | null> {
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
  return child.exitCode;
}

function answers(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url);
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname);
    const answer = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once("connect", () => answer(true));
    socket.once("error", () => answer(false));
  });
}

const users: readonly { readonly who: string; readonly user: number }[] = isRoot
  ? [
      { who: "root", user: ROOT_USER },
      { who: "an ordinary user", user: ORDINARY_USER },
    ]
  : [{ who: "the current user", user: process.getuid?.() ?? 0 }];

describe.each(users)("in a clone under a folder that only $who may read", ({ who, user }) => {
  let clone: Clone;
  beforeAll(() => {
    clone = cloneUnder0700(user);
  });
  afterAll(() => clone.remove());

  const seconds = who === "root" || !isRoot ? 4 : 1;
  const args = seconds === 4 ? [] : ["--size", "320x192", "--seconds", "1"];

  test('npm start -- "a prompt" saves a playable MP4 and leaves no process behind', async () => {
    const startedAtMs = performance.now();
    const { child, output } = npmStart(clone, user, ["a red fox in the snow", ...args]);
    expect(await exitOf(child), output.join("")).toBe(0);
    const tookS = (performance.now() - startedAtMs) / 1_000;
    console.info(`npm start -- "a red fox in the snow" ${args.join(" ")}: ${tookS.toFixed(1)} s`);

    const file = readdirSync(clone.path).find((name) => name.endsWith(".mp4"));
    const video = readMp4(await readFile(join(clone.path, file ?? "no mp4 was saved")));
    const size = seconds === 4 ? { width: 720, height: 1_280 } : { width: 320, height: 192 };
    expect(video).toEqual({ ...size, frames: 24 * seconds, seconds, codec: "avc1", fastStart: true });
    expect(processesNaming(clone.path)).toEqual([]);
  });

  test("Ctrl-C drains everything: no process, no port, no dev.json is left", async () => {
    const { child, output } = npmStart(clone, user, []);
    const home = join(clone.path, ".callsheet");
    const dev = await until("it is up", 60_000, async () => {
      if (child.exitCode !== null) throw new Error(output.join(""));
      return readDevFile(home);
    });
    expect(await answers(dev.edge_url)).toBe(true);
    process.kill(-(child.pid ?? 0), "SIGINT");
    await exitOf(child);
    await until("all processes are gone", GONE_MS, async () => processesNaming(clone.path).length === 0);
    expect(await answers(dev.edge_url)).toBe(false);
    expect(await answers(dev.admin_url)).toBe(false);
    expect(await readDevFile(home)).toBeNull();
  });

  test("kill -9 of the supervisor leaves nothing behind, and the next start works", async () => {
    const home = join(clone.path, ".callsheet");
    const { child, output } = npmStart(clone, user, []);
    await until("it is up", 60_000, async () => {
      if (child.exitCode !== null) throw new Error(output.join(""));
      return readDevFile(home);
    });
    process.kill(-(child.pid ?? 0), "SIGKILL");
    await until("all processes are gone", GONE_MS, async () => processesNaming(clone.path).length === 0);
    const again = npmStart(clone, user, ["waves", "--size", "320x192", "--seconds", "1"]);
    expect(await exitOf(again.child), again.output.join("")).toBe(0);
  });
});
