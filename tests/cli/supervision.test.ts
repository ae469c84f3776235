/** Parts that die, with small real programs in their place. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { forkNode } from "#cli/child.ts";
import { LogFile, surfaced } from "#cli/log-file.ts";
import { isAlive } from "#cli/process-table.ts";
import { restartDelayMs } from "#cli/restart-backoff.ts";
import { Supervised } from "#cli/supervised.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "callsheet-supervision-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const WELL_BEHAVED = `
  process.on("SIGTERM", () => process.exit(0));
  process.on("disconnect", () => process.exit(0));
  process.send({ ready: true });
  setInterval(() => {}, 1000);
`;

function supervise(name: string, source: string) {
  const program = join(folder, `${name}.mjs`);
  writeFileSync(program, source);
  const surfacedLines: string[] = [];
  const log = new LogFile(join(folder, `${name}.log`), (text) => surfacedLines.push(text));
  const ended: { why: string; delayMs: number }[] = [];
  let back = Promise.withResolvers<number>();
  const part = new Supervised(
    { name, launch: async () => forkNode({ program, cwd: folder, env: process.env, log }) },
    {
      ended: (_name, why, delayMs) => ended.push({ why, delayMs }),
      restarted: (_name, pid) => {
        back.resolve(pid);
        back = Promise.withResolvers();
      },
    },
  );
  return { part, ended, log, nextStart: () => back.promise, surfacedLines };
}

describe("a supervised part", () => {
  test("that is killed is started again at once, and the second time after a pause", async () => {
    const { part, ended, nextStart } = supervise("killed", WELL_BEHAVED);
    await part.start();
    for (let i = 0; i < 2; i++) {
      const old = part.pid;
      const restarted = nextStart();
      process.kill(old, "SIGKILL");
      expect(await restarted).not.toBe(old);
    }
    expect(ended).toEqual([
      { why: "SIGKILL", delayMs: 0 },
      { why: "SIGKILL", delayMs: 250 },
    ]);
    const last = part.pid;
    await part.stop();
    expect(isAlive(last)).toBe(false);
    expect(ended).toHaveLength(2);
  });

  test("that cannot start is reported, not repeated", async () => {
    const { part, ended, log } = supervise("broken", `console.error("no database"); process.exit(3);`);
    await expect(part.start()).rejects.toThrow("ended before it was ready (code 3)");
    expect(ended).toEqual([]);
    await expect.poll(() => log.tail()).toContain("no database");
    await part.stop();
  });

  test("that is stopped while it starts leaves no process", async () => {
    const { part } = supervise("slow", `process.on("SIGTERM", () => process.exit(0)); setInterval(() => {}, 1000);`);
    const started = part.start();
    started.catch(() => undefined);
    await expect.poll(() => part.pid).toBeGreaterThan(0);
    const { pid } = part;
    await part.stop();
    await expect(started).rejects.toThrow("ended before it was ready");
    expect(isAlive(pid)).toBe(false);
  });
});

test("restart pauses double from a quarter second up to five", () => {
  expect([0, 1, 2, 3, 4, 5, 6, 60].map(restartDelayMs)).toEqual([0, 250, 500, 1000, 2000, 4000, 5000, 5000]);
});

describe("what of a log reaches the terminal", () => {
  test("warnings and errors, with their fields and cause, in one line", () => {
    expect(surfaced('{"level":40,"time":1,"pid":2,"hostname":"h","msg":"slow","job":"video_1"}', false)).toBe(
      'warn: slow {"job":"video_1"}',
    );
    expect(
      surfaced('{"level":50,"msg":"refused","err":{"type":"Error","message":"no route","stack":"…"}}', false),
    ).toBe("error: refused (no route)");
  });

  test("not the everyday lines, but anything unformatted on stderr", () => {
    expect(surfaced('{"level":30,"msg":"ready"}', true)).toBe(null);
    expect(surfaced("TypeError: oops", true)).toBe("TypeError: oops");
    expect(surfaced("{ half a line", true)).toBe("{ half a line");
    expect(surfaced("chatter", false)).toBe(null);
  });
});
