import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

test("the example of docs/credits.md prints what the page says", () => {
  const page = readFileSync(`${ROOT}docs/credits.md`, "utf8");
  const [, code, printed] = /```js\n([\s\S]*?)```\n\n```text\n([\s\S]*?)```/.exec(page) ?? [];
  if (code === undefined) throw new Error("the page has an example");
  const run = spawnSync(process.execPath, ["--input-type=module"], { cwd: ROOT, input: code, encoding: "utf8" });
  expect(run.stderr).toBe("");
  expect(run.stdout).toBe(printed);
});
