/** The converter for the public trace, as a person runs it, on rows written by hand after its documented columns. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { readWorkload } from "#sim/workload-file.ts";

const folder = mkdtempSync(join(tmpdir(), "callsheet-convert-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const HEADER =
  "gmt_create,predict_type,predict_status,exec_time_seconds,groupId,prompt_length,negative_prompt_length,num_images_per_prompt,num_inference_steps,checkpoint_model_version_id,num_lora";

interface Asked {
  readonly at?: string;
  readonly status?: string;
  readonly account?: string;
  readonly images?: string;
  readonly steps?: string;
  readonly weights?: string;
}

function row({ at = "2026-01-31 12:00:00", status = "SUCCEED", account = "A1", ...asked }: Asked = {}): string {
  const { images = "1.0", steps = "30.0", weights = "W1" } = asked;
  return `${at},TXT_2_IMG,${status},12.0,${account},40.0,,${images},${steps},${weights},1`;
}

function convert(rows: readonly string[], ...options: readonly string[]) {
  const [csv, out] = [join(folder, "trace.csv"), join(folder, "workload.jsonl")];
  writeFileSync(csv, rows.join("\n"));
  const args = ["sim/convert.ts", csv, "--out", out, ...options];
  const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 20_000 });
  return { status, stderr: stderr.replaceAll(`${folder}/`, ""), out };
}

describe("a good trace", () => {
  test("becomes a workload that the simulator reads, in order of arrival", () => {
    const rows = [
      row({ at: "2026-01-31 23:59:30", account: "A2", weights: "" }),
      row({ at: "2026-01-31 23:59:00", status: "FAILED" }),
      row({ at: "2026-02-01 00:00:10" }),
    ];
    const { status, stderr, out } = convert([HEADER, ...rows, ""]);
    expect([status, stderr]).toEqual([0, "3 requests\n"]);
    const common = { model: "wan2.2-t2v-a14b", size: "832x480", seconds: 5, steps: 30 };
    expect(readWorkload(out)).toEqual([
      { at_s: 0, account: "A1", tier: "free", weights: "W1", outcome: "failed", ...common },
      { at_s: 30, account: "A2", tier: "free", weights: "", outcome: "ok", ...common },
      { at_s: 70, account: "A1", tier: "free", weights: "W1", outcome: "ok", ...common },
    ]);
  });

  test.each([
    ["1.0", "30.0", "832x480", 5],
    ["1", "60", "832x480", 5],
    ["2.0", "40.0", "832x480", 10],
    ["4.0", "39.0", "1280x720", 5],
    ["4.0", "40.0", "1920x1080", 5],
    ["6.0", "30.0", "1280x720", 5],
    ["8.0", "30.0", "1280x720", 10],
    ["8.0", "50.0", "1920x1080", 10],
  ])("%s images of %s steps are a video of %s and %i s", (images, steps, size, seconds) => {
    const [line] = readWorkload(convert([HEADER, row({ images, steps })]).out);
    expect(line).toMatchObject({ size, seconds, steps: Number(steps) });
  });

  test("gives four in five accounts the free tier, and an account one tier for ever", () => {
    const accounts = Array.from({ length: 2_000 }, (_, n) => `A${n % 1_000}`);
    const tiers = readWorkload(convert([HEADER, ...accounts.map((account) => row({ account }))]).out);
    const share = (tier: string) => tiers.filter((line) => line.tier === tier).length / tiers.length;
    expect(share("free")).toBeCloseTo(0.8, 1);
    expect(share("plus")).toBeCloseTo(0.15, 1);
    expect(share("pro")).toBeCloseTo(0.05, 1);
    expect(new Set(tiers.map(({ account, tier }) => `${account} ${tier}`)).size).toBe(1_000);
  });

  test("is cut to its first days, and asks for the model that was named", () => {
    const rows = [1, 2, 3, 4].map((day) => row({ at: `2026-03-0${day} 08:00:00` }));
    const lines = readWorkload(convert([HEADER, ...rows], "--days", "2", "--model", "ltx-2").out);
    expect(lines.map(({ at_s, model }) => [at_s, model])).toEqual([
      [0, "ltx-2"],
      [86_400, "ltx-2"],
    ]);
  });

  test("may have a byte order mark, Windows line ends and its columns in another order", () => {
    const { status, out } = convert([
      "\uFEFFgroupId,gmt_create,num_inference_steps,num_images_per_prompt,checkpoint_model_version_id,predict_status\r",
      "A1,2026-01-31 12:00:00,30,1,W1,SUCCEED\r",
    ]);
    expect([status, readWorkload(out).length]).toEqual([0, 1]);
  });
});

describe("a bad trace is refused with line and column", () => {
  test.each([
    ["steps that are no number", [row(), row({ steps: "many" })], 'trace.csv:3: column num_inference_steps: "many" is'],
    ["no image", [row({ images: "0.0" })], 'trace.csv:2: column num_images_per_prompt: "0.0" is'],
    ["no account", [row({ account: "" })], "trace.csv:2: column groupId is empty"],
    ["a time of another kind", [row({ at: "yesterday" })], 'trace.csv:2: column gmt_create: "yesterday" is'],
    ["a day that does not exist", [row({ at: "2026-13-01 00:00:00" })], "trace.csv:2: column gmt_create"],
    ["a row that was cut off", [row().slice(0, 40)], "trace.csv:2: the row has"],
    ["cells in quotes", [row({ account: '"A,1"' })], "trace.csv:2: cells in quotes"],
    ["a line without end", [row(), "x".repeat(100_000)], "trace.csv:3: the line has more than"],
  ])("%s", (_, rows, message) => {
    const { status, stderr } = convert([HEADER, ...rows]);
    expect(status).toBe(1);
    expect(stderr).toContain(message);
  });

  test("a header without a needed column, and an empty file", () => {
    expect(convert(["gmt_create,groupId", "x,y"]).stderr).toMatch(
      /trace.csv:1: the header has no column predict_status/,
    );
    expect(convert([]).stderr).toContain("trace.csv:1: the file is empty");
  });
});

test("bad rows are left out and counted if that is asked for", () => {
  const { status, stderr, out } = convert([HEADER, row(), row({ steps: "" }), row()], "--skip-bad");
  expect([status, stderr]).toEqual([0, "2 requests; bad rows left out: 1\n"]);
  expect(readFileSync(out, "utf8").split("\n")).toHaveLength(3);
});

test.each([
  ["without a file", [], "One file is converted."],
  ["with an option that it does not know", ["x.csv", "--weeks", "2"], "Unknown option '--weeks'"],
  ["with days that are none", ["x.csv", "--days", "few"], "days"],
])("%s it says what is wrong, and how to use it", (_, args, message) => {
  const run = spawnSync(process.execPath, ["sim/convert.ts", ...args], { encoding: "utf8", timeout: 20_000 });
  expect(run.status).toBe(2);
  expect(run.stderr).toContain(message);
  expect(run.stderr).toContain("Usage: npm run --silent sim:convert");
});
