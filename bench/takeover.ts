/**
 * How long a new leader needs before it schedules: its world rebuilt from PostgreSQL, with a standing queue.
 *
 * `npm run bench:takeover [-- jobs accounts]`
 */
import { PRODUCTION_LIMITS } from "#control-plane/core/scheduler/limits.ts";
import { connect } from "#control-plane/db/connect.ts";
import { SchedulerLoop } from "#control-plane/loop/scheduler-loop.ts";
import { systemClock } from "#control-plane/system-clock.ts";
import { DiskStore } from "#control-plane/store/disk-store.ts";
import { AccountId } from "#protocol/id.ts";
import { Product } from "#tests/support/product.ts";
import { QUIET } from "#tests/support/quiet-host.ts";

const jobs = Number(process.argv[2] ?? 100_000);
const accounts = Number(process.argv[3] ?? 10_000);
const PROMPT = "a red fox in the snow, seen from a drone at dawn, cinematic, slow";

const product = await Product.start({ CALLSHEET_RUNNERS: "0" });
try {
  await product.sql`
    insert into account (id, name, tier)
    select 'acct_' || lpad(n::text, 16, '0'), 'bench', (array['free', 'plus', 'pro'])[1 + n % 3]
    from generate_series(1, ${accounts}) as n`;
  await product.sql`
    insert into job (id, account_id, create_key, tier, model, class, prompt, negative_prompt, size, fps, seconds, steps,
      seed, metadata, price, gpu_ms, deadline_at)
    select 'video_' || lpad(to_hex(n), 32, '0'), 'acct_' || lpad((1 + n % ${accounts})::text, 16, '0'),
      'ck_' || lpad(n::text, 16, '0'), 'free', 'reference', '720p/4s', ${PROMPT}, '', '1280x720', 24, 4, 30,
      n, '{}', 21000, 21000, now() + interval '1 day'
    from generate_series(1, ${jobs}) as n`;
  const database = connect(product.dev.database_url);
  const host = {
    clock: systemClock,
    ...QUIET,
    limits: PRODUCTION_LIMITS,
    send: () => undefined,
    stop: () => undefined,
    trust: () => undefined,
  };
  const times: number[] = [];
  for (let round = 0; round < 3; round++) {
    const loop = new SchedulerLoop(database.sql, new DiskStore(product.home), round, host);
    const startedMs = performance.now();
    await loop.load();
    times.push(Math.round(performance.now() - startedMs));
    const account = AccountId.parse("acct_0000000000000001");
    if (loop.waitingOf(account).length === 0) throw new Error("the world is not complete");
  }
  await database.close();
  const [, median] = times.toSorted((a, b) => a - b);
  console.log(JSON.stringify({ jobs, accounts, takeover_ms: times, median_ms: median }));
} finally {
  await product.stop();
}
