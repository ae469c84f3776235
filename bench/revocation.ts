/**
 * `node bench/revocation.ts`: how long a revoked key still works at the edge of the real stack, told and untold, and how long a
 * revoked runner's video takes to be on another runner. Prints milliseconds, one line a kind.
 */
import { Payer } from "#tests/support/payer.ts";
import { Product, until } from "#tests/support/product.ts";

const ROUNDS = 8;
const POLL_MS = 20;

const product = await Product.start({ CALLSHEET_RUNNERS: "3" });
try {
  report("key, told by the push", await repeat(() => keyLivesMs((id) => product.admin("DELETE", `/keys/${id}`))));
  report(
    "key, the push lost",
    await repeat(() => keyLivesMs((id) => product.sql`update api_key set revoked_at = now() where id = ${id}`)),
  );
  report("runner, until its video is on another", [await runnerReplacedMs()]);
} finally {
  await product.stop();
}

async function repeat(measure: () => Promise<number>): Promise<readonly number[]> {
  const all: number[] = [];
  for (let round = 0; round < ROUNDS; round++) all.push(await measure());
  return all;
}

/** From the commit of the revocation to the first call that is refused. */
async function keyLivesMs(revoke: (id: string) => Promise<unknown>): Promise<number> {
  const { key } = await Payer.of(product, "free");
  const call = () =>
    fetch(`${product.dev.edge_url}/v1/videos?limit=1`, { headers: { authorization: `Bearer ${key}` } }).then(
      async (answer) => {
        await answer.arrayBuffer();
        return answer.status;
      },
    );
  if ((await call()) !== 200) throw new Error("a new key works");
  const [row] = await product.sql<
    { id: string }[]
  >`select id from api_key where last4 = ${key.slice(-4)} order by created_at desc limit 1`;
  await revoke(row?.id ?? "");
  const startedMs = performance.now();
  while ((await call()) === 200) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  return performance.now() - startedMs;
}

async function runnerReplacedMs(): Promise<number> {
  const payer = await Payer.of(product, "pro");
  await payer.create({ prompt: "!idle=200 a lake", size: "320x192", seconds: "1", steps: 40, seed: 3 });
  await payer.when("it runs", ({ scheduler }) => scheduler.state === "running");
  const runnerOf = async () => {
    const [row] = await product.sql<
      { runner: string | null }[]
    >`select runner_id as runner from job where id = ${payer.video}`;
    return row?.runner ?? null;
  };
  const first = await runnerOf();
  await product.admin("DELETE", `/runners/${first}/secret`);
  const startedMs = performance.now();
  await until("it is on another runner", 30_000, async () => {
    const now = await runnerOf();
    return now !== null && now !== first;
  });
  return performance.now() - startedMs;
}

function report(what: string, values: readonly number[]): void {
  const sorted = values.map((ms) => Math.round(ms)).toSorted((a, b) => a - b);
  console.log(
    `${what}: median ${sorted[Math.floor(sorted.length / 2)]}, worst ${sorted.at(-1)} ms of ${sorted.length}`,
  );
}
