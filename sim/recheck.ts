/** `npm run sim:check -- LOG...`: rechecks capacity, gangs and caps of finished runs from their logs alone. */
import { readFileSync } from "node:fs";
import { checkLog } from "./check-log.ts";
import { readLog } from "./log-record.ts";

for (const path of process.argv.slice(2)) {
  const log = readLog(readFileSync(path, "utf8"));
  const { faults } = checkLog(log);
  process.stdout.write(`${path}: ${log.records.length} lines, ${faults.length} faults\n`);
  for (const fault of faults) process.stdout.write(`  ${fault}\n`);
  if (faults.length > 0) process.exitCode = 1;
}
