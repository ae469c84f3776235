/** Prints what a JSON report of vitest says failed, name and reason, then how many passed and failed: the last lines of a CI run. */
import { readFileSync } from "node:fs";

const REASON_LINES_MAX = 30;

const report = JSON.parse(readFileSync(process.argv[2], "utf8"));
for (const file of report.testResults) {
  const failed = file.assertionResults.filter((test) => test.status === "failed");
  if (file.status === "failed" && failed.length === 0) print(file.name, [file.message]);
  for (const test of failed) print(`${file.name} > ${test.fullName}`, test.failureMessages);
}
// A file that does not load has no tests, and still is a failure.
const failures = report.numFailedTests || (report.success ? 0 : 1);
say(`${report.numPassedTests} passed, ${failures} failed`);

function print(name, reasons) {
  say(`FAILED ${name}`);
  const lines = reasons.join("\n").split("\n");
  for (const line of lines.slice(0, REASON_LINES_MAX)) say(`    ${line}`);
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
