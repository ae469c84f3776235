/**
 * `npm run attack:requests -- --requests 100000 --seed 1`: generated hostile requests against a stack of its own on loopback.
 * Exits 1 on any answer of 500 or more, any silence, any part that had to be started again, or a lag above the bound.
 */
import { parseArgs } from "node:util";
import { controlPlaneOf, Product } from "#tests/support/product.ts";
import { assault } from "#tests/security/attack/assault.ts";

const LAG_P99_MS_MAX = 50;

const { values } = parseArgs({
  options: { requests: { type: "string", default: "100000" }, seed: { type: "string", default: "1" } },
});
const [requests, seed] = [Number(values.requests), Number(values.seed)];

const product = await Product.start({ CALLSHEET_RUNNERS: "1" });
let bad = true;
try {
  const seen = await assault(product, await controlPlaneOf(product), requests, seed);
  const counts = [...seen.answers].map(([kind, count]) => `${kind} ${count}`).toSorted((a, b) => (a < b ? -1 : 1));
  console.log(`${seen.requests} requests of seed ${seed} in ${seen.seconds.toFixed(0)} s: ${counts.join(", ")}`);
  console.log(`5xx and silences ${seen.failed}, 503 ${seen.overloaded}, parts started again ${seen.restarts.length}`);
  console.log(
    `event-loop lag of the control plane: p99 ${seen.lagP99Ms.toFixed(1)} ms, max ${seen.lagMaxMs.toFixed(1)} ms`,
  );
  console.log("slowest, sent again alone (CPU ms of edge, control plane):");
  for (const { request, edgeMs, controlPlaneMs } of seen.costliest) {
    console.log(`  ${edgeMs.toFixed(1).padStart(7)} ${controlPlaneMs.toFixed(1).padStart(7)}  ${request}`);
  }
  for (const made of seen.restarts)
    console.log(`FAILED a part was started again while requests ${made} and on were sent`);
  if (seen.restarts.length > 0) console.log(product.output);
  for (const failure of seen.failures) console.log(`FAILED ${failure}`);
  bad = seen.failed + seen.overloaded + seen.restarts.length > 0 || seen.lagP99Ms > LAG_P99_MS_MAX;
} finally {
  await product.stop();
}
process.exitCode = bad ? 1 : 0;
