import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readMp4 } from "#tests/support/mp4.ts";
import { Product } from "#tests/support/product.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const README = readFileSync(join(ROOT, "README.md"), "utf8");

let product: Product;
let folder: string;
beforeAll(async () => {
  product = await Product.start();
  folder = await mkdtemp(join(tmpdir(), "callsheet-readme-"));
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
});
afterAll(async () => {
  await product.stop();
  await rm(folder, { recursive: true, force: true });
});

/** The first code block under a heading, as printed. */
function example(heading: string): string {
  const section = README.split(/^#{2,3} /m).find((text) => text.startsWith(heading)) ?? "";
  const block = /```\w+\n([\s\S]*?)```/.exec(section)?.[1];
  if (block === undefined) throw new Error(`README has no example under '${heading}'`);
  return block;
}

async function run(command: string, args: readonly string[], input: string): Promise<string> {
  const child = spawn(command, args, {
    cwd: folder,
    env: { ...process.env, OPENAI_BASE_URL: `${product.dev.edge_url}/v1`, OPENAI_API_KEY: product.key("pro") },
    stdio: ["pipe", "pipe", "pipe"],
  });
  const output: string[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => output.push(String(text)));
  child.stdin.end(input);
  await once(child, "close");
  expect(child.exitCode, output.join("")).toBe(0);
  return output.join("");
}

test("the README's curl example runs as printed", async () => {
  await run("bash", ["-eu"], example("curl"));
  expect(readMp4(await readFile(join(folder, "lighthouse.mp4")))).toMatchObject({
    width: 832,
    height: 480,
    frames: 48,
  });
});

test("the README's JavaScript example runs as printed", async () => {
  const output = await run("node", ["--input-type=module", "-"], example("JavaScript"));
  expect(output).toContain("completed 100");
  expect(readMp4(await readFile(join(folder, "waves.mp4")))).toMatchObject({ width: 1_280, height: 720, seconds: 4 });
});

test("the README's webhook example runs as printed", async () => {
  expect(await run("bash", ["-eu"], example("Webhooks"))).toContain('"secret":"whsec_');
});
