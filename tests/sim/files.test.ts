/** What the simulator reads, and its command line as a person uses it. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { namedCluster, parseCluster } from "#sim/cluster-file.ts";
import { parseWorkload } from "#sim/workload-file.ts";
import { ask } from "./toy.ts";

const folder = mkdtempSync(join(tmpdir(), "callsheet-sim-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("workload files", () => {
  test("lines come out in order of arrival, those of one moment in the order of the file", () => {
    const text = [ask(5, "late"), ask(1, "first"), ask(1, "second")].map((line) => JSON.stringify(line)).join("\n");
    expect(parseWorkload(text, "w").map(({ account }) => account)).toEqual(["first", "second", "late"]);
  });

  test("a bad line is refused with its number and what is wrong with it", () => {
    const good = JSON.stringify(ask(0, "a"));
    expect(() => parseWorkload(`${good}\n{`, "w")).toThrow("w:2 is not JSON");
    expect(() => parseWorkload(JSON.stringify({ ...ask(0, "a"), steps: 0 }), "w")).toThrow(/w:1 .*steps/s);
  });
});

describe("clusters", () => {
  test("a name says runners, devices and GPU", () => {
    const cluster = namedCluster("16x4-h200");
    expect(cluster).toHaveLength(16);
    expect(cluster?.[3]).toMatchObject({ id: "r03", gpu: "H200-141", devices: 4, vram_gb: 141, mtbf_h: null });
    expect(namedCluster("8x8-tpu1")).toBeNull();
  });

  test("a file that names a runner twice, or an unknown GPU, is refused", () => {
    const runner = { id: "r", gpu: "L20-48", devices: 2, vram_gb: 48, slots: 2, nvlink: false, mtbf_h: 100 };
    expect(parseCluster(JSON.stringify({ runners: [runner] }), "c")).toEqual([runner]);
    expect(() => parseCluster(JSON.stringify({ runners: [runner, runner] }), "c")).toThrow("c names a runner twice");
    expect(() => parseCluster(JSON.stringify({ runners: [{ ...runner, gpu: "abacus" }] }), "c")).toThrow(/gpu/);
  });
});

test("the command line runs two policies from files and writes logs that check out, figures and a picture", () => {
  const requests = Array.from({ length: 30 }, (_, index) =>
    ask(index * 10, `a${index % 7}`, {
      model: "wan2.2-t2v-a14b",
      size: index % 5 === 0 ? "1280x720" : "832x480",
      seconds: 5,
    }),
  );
  const path = (name: string) => join(folder, name);
  writeFileSync(path("w.jsonl"), requests.map((line) => JSON.stringify(line)).join("\n"));
  const sim = (...args: readonly string[]) => spawnSync(process.execPath, args, { encoding: "utf8", timeout: 20_000 });
  const files = ["--log", path("run.jsonl"), "--json", path("run.json"), "--svg", path("run.svg")];
  const policies = ["--policy", "callsheet,fifo-easy"];
  const run = sim("sim/main.ts", "--workload", path("w.jsonl"), "--cluster", "2x8-h100", ...policies, ...files);
  expect(run.stderr).toBe("");
  expect(run.stdout).toMatch(/callsheet: 30 jobs[^]*fifo-easy: 30 jobs/);
  expect(Object.keys(JSON.parse(readFileSync(path("run.json"), "utf8")) as object)).toEqual(["callsheet", "fifo-easy"]);
  expect(readFileSync(path("run.svg"), "utf8")).toMatch(/^<svg /);
  const check = sim("sim/recheck.ts", path("run.callsheet.jsonl"), path("run.fifo-easy.jsonl"));
  expect(check.stdout.match(/ 0 faults/g)).toHaveLength(2);
});

test("a command line with something missing says what, and how to use it", () => {
  const run = spawnSync(process.execPath, ["sim/main.ts", "--policy", "fifo"], { encoding: "utf8", timeout: 20_000 });
  expect(run.status).toBe(2);
  expect(run.stderr).toMatch(/workload[^]*Usage: npm run sim/);
});
