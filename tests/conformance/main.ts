/**
 * `npm run conformance`: starts the product, plays every line of the suite with the official SDK and prints the report.
 * `-- --python` plays the Python half too, `-- --write` fills docs/conformance.md. A line that fails makes it exit 1.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { VERSION } from "openai/version";
import { Product } from "#tests/support/product.ts";
import { WebhookReceiver } from "#tests/support/webhook-receiver.ts";
import type { Case } from "./case.ts";
import { play } from "./play.ts";
import { asText, filledIn, Report, tally } from "./report.ts";
import type { Row } from "./report.ts";
import { SUITE } from "./suite.ts";

const DOCUMENT = new URL("../../docs/conformance.md", import.meta.url);
const PYTHON = fileURLToPath(new URL("../python/run", import.meta.url));

const { values: wanted } = parseArgs({
  options: { python: { type: "boolean", default: false }, write: { type: "boolean", default: false } },
});

async function judged(line: Case, product: Product, receiver: WebhookReceiver): Promise<Row> {
  const { call, title, pending } = line;
  try {
    const undocumented = await play(line, product, receiver);
    if (undocumented.length > 0) throw new Error(undocumented.join("; "));
  } catch (error) {
    if (pending !== undefined) return { call, title, verdict: "not yet", detail: pending };
    return { call, title, verdict: "fail", detail: error instanceof Error ? error.message : String(error) };
  }
  const detail = pending === undefined ? null : `passes, though it is marked as pending: ${pending}`;
  return { call, title, verdict: detail === null ? "pass" : "fail", detail };
}

async function javascript(): Promise<Report> {
  const [product, receiver] = await Promise.all([Product.start(), WebhookReceiver.start()]);
  try {
    const rows: Row[] = [];
    for (const [index, line] of SUITE.entries()) {
      process.stderr.write(`${index + 1} of ${SUITE.length}: ${line.call}\n`);
      rows.push(await judged(line, product, receiver));
    }
    return { name: "javascript", sdk: `openai ${VERSION} (npm), Node ${process.versions.node}`, rows };
  } finally {
    await receiver.stop();
    await product.stop();
  }
}

/** tests/python/run brings its own environment and its own product. */
async function python(): Promise<Report> {
  const folder = await mkdtemp(join(tmpdir(), "callsheet-conformance-"));
  try {
    const file = join(folder, "report.json");
    const run = spawn(PYTHON, {
      env: { ...process.env, CONFORMANCE_JSON: file },
      stdio: ["ignore", process.stderr, process.stderr],
    });
    await once(run, "exit");
    return Report.parse(JSON.parse(await readFile(file, "utf8")));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const reports = [await javascript(), ...(wanted.python ? [await python()] : [])];
for (const report of reports) console.log(`${asText(report)}\n`);
if (wanted.write) {
  let document = await readFile(DOCUMENT, "utf8");
  for (const report of reports) document = filledIn(document, report);
  await writeFile(DOCUMENT, document);
  console.log("docs/conformance.md is written");
}
if (reports.some(({ rows }) => rows.some(({ verdict }) => verdict === "fail"))) {
  console.error(reports.map(tally).join("; "));
  process.exitCode = 1;
}
