/** Who goes first, on the running product with four runners: floods, tiers, preemption, a change of leader. */
import type OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Video } from "#protocol/video.ts";
import { LiveSession } from "#tests/support/live-session.ts";
import { Product, until } from "#tests/support/product.ts";

const RUNNERS = 4;
let product: Product;
beforeAll(async () => {
  product = await Product.start({ CALLSHEET_RUNNERS: String(RUNNERS) });
});
afterAll(() => product.stop());

interface Customer {
  readonly id: string;
  readonly client: OpenAI;
}

async function customer(tier: string): Promise<Customer> {
  const { id, apiKey } = await product.account(tier);
  // What is shed for coming all at once is asked again.
  return { id, client: product.client(apiKey, { maxRetries: 8 }) };
}

const TINY = { size: "320x192", seconds: "1", steps: 8, seed: 3 };

async function create({ client }: Customer, prompt: string, more: object = {}): Promise<string> {
  const video = await client.videos.create({ ...TINY, prompt, ...more } as unknown as OpenAI.VideoCreateParams);
  return video.id;
}

const many = <Value>(count: number, make: (n: number) => Value) =>
  Promise.all(Array.from({ length: count }, (_, n) => make(n)));

function inState(state: string, ids: readonly string[]): Promise<boolean> {
  return until(`they are ${state}`, 60_000, async () => {
    const rows = await product.sql`select 1 from job where id in ${product.sql([...ids])} and state <> ${state}`;
    return rows.length === 0;
  });
}

/** Ends what is left of a test, so that the next one starts with an empty queue. */
async function cancelAll({ client }: Customer, ids: readonly string[]): Promise<void> {
  // A video that is over meanwhile refuses to be cancelled.
  await Promise.allSettled(ids.map((id) => client.post(`/videos/${id}/cancel`)));
  await until("nothing is left", 60_000, async () => {
    const rows = await product.sql`select 1 from job where id in ${product.sql([...ids])} and finished_at is null`;
    return rows.length === 0;
  });
}

/** How many of the account's videos started from when these came to when the last of them started, and how many older ones waited still. */
async function passedBy(account: Customer, ids: readonly string[]): Promise<{ started: number; waiting: number }> {
  const [row] = await product.sql<{ started: number; waiting: number }[]>`
    with own as (
      select min(j.created_at) as came_at, max(a.started_at) as last_at
      from job j join attempt a on a.job_id = j.id where j.id in ${product.sql([...ids])}
    )
    select count(*) filter (where a.started_at between own.came_at and own.last_at)::int as started,
      count(*) filter (where j.created_at < own.came_at and (a.started_at is null or a.started_at > own.last_at))::int as waiting
    from own, job j left join attempt a on a.job_id = j.id where j.account_id = ${account.id}`;
  return row ?? { started: 0, waiting: 0 };
}

test("a flood of 200 videos does not hold up another account's five", async () => {
  const [flood, few] = [await customer("pro"), await customer("pro")];
  const flooded = await many(200, (n) => create(flood, `!idle=200 flood ${n}`));
  const own = await many(5, (n) => create(few, `few ${n}`));
  await inState("completed", own);
  const { started, waiting } = await passedBy(flood, own);
  // They take turns: the last of the five starts before the flood's 20th start after they came.
  expect(started).toBeLessThan(20);
  expect(waiting).toBeGreaterThan(20);
  await cancelAll(flood, flooded);
});

test("a video of a pro account overtakes those of free accounts that came before it", async () => {
  const free = await many(8, () => customer("free"));
  const earlier = await Promise.all(
    free.map((account) => many(3, (n) => create(account, `!idle=40 free ${n}`).then((id) => [account, id] as const))),
  );
  const pro = await customer("pro");
  const id = await create(pro, "!idle=40 pro");
  await inState("completed", [id]);
  const passed = await Promise.all(free.map((account) => passedBy(account, [id])));
  const sum = (key: "started" | "waiting") => passed.reduce((total, row) => total + row[key], 0);
  // At most one round of the runners, whose turn had come already.
  expect(sum("started")).toBeLessThanOrEqual(RUNNERS);
  expect(sum("waiting")).toBeGreaterThan(RUNNERS);
  await Promise.all(earlier.flat().map(([account, video]) => cancelAll(account, [video])));
});

test("a video that is pushed aside goes on from its checkpoint and equals those that were not", async () => {
  const free = await many(RUNNERS, () => product.account("free"));
  const sessions = await Promise.all(free.map(({ apiKey }) => LiveSession.open(product.dev.edge_url, apiKey)));
  const clients = free.map(({ id, apiKey }) => ({ id, client: product.client(apiKey) }));
  const long = await Promise.all(clients.map((each) => create(each, "!idle=100 a mountain lake", { steps: 40 })));
  await until("all run", 30_000, async () => {
    const rows = await product.sql`select 1 from job where id in ${product.sql(long)} and progress > 5`;
    return rows.length === RUNNERS;
  });
  const quick = await create(await customer("pro"), "a spark");
  await inState("completed", [quick]);
  const [victim] = await product.sql<{ id: string; done: boolean }[]>`
    select id, finished_at is not null as done from job where id in ${product.sql(long)} and preemptions = 1`;
  expect(victim).toMatchObject({ done: false });
  const pushed = victim?.id ?? "";
  await inState("completed", long);

  const attempts = await product.sql`select outcome, from_step from attempt where job_id = ${pushed} order by epoch`;
  expect(attempts.map((attempt) => attempt["outcome"])).toEqual(["stopped", "completed"]);
  expect(attempts[1]?.["from_step"]).toBeGreaterThan(0);
  const session = sessions[long.indexOf(pushed)];
  await session?.until("completed", (frame) => frame.type === "video.completed" && frame.data?.id === pushed);
  const frames = session?.of(pushed) ?? [];
  expect(frames.filter((frame) => frame.sequence_number !== undefined).map((frame) => frame.type)).toEqual([
    "video.queued",
    "video.in_progress",
    "video.preempted",
    "video.completed",
  ]);
  const progress = frames.flatMap((frame) => (frame.type === "video.progress" ? [frame.data?.progress ?? 0] : []));
  expect(progress).toEqual(progress.toSorted((a, b) => a - b));
  const hashes = await product.sql`
    select distinct latents_sha256, frames_sha256 from job where id in ${product.sql(long)}`;
  expect(hashes).toHaveLength(1);
  expect(hashes[0]?.["latents_sha256"]).toMatch(/^[0-9a-f]{64}$/);
  expect(hashes[0]?.["frames_sha256"]).toMatch(/^[0-9a-f]{64}$/);
  const [hold] = await product.sql`select amount, captured from credit_hold where job_id = ${pushed}`;
  expect(hold?.["captured"]).toBe(hold?.["amount"]);
  await Promise.all(sessions.map((each) => each.close()));
});

/** Waiting videos in the order in which they will start, as the API says. */
function inOrder(jobs: readonly { readonly account: Customer; readonly id: string }[]): Promise<readonly string[]> {
  return until("every position is known", 20_000, async () => {
    const placed = await Promise.all(
      jobs.map(async ({ account, id }) => {
        const video = Video.parse(await account.client.videos.retrieve(id));
        return { id, position: video.scheduler.position };
      }),
    );
    const order = placed.toSorted((a, b) => (a.position ?? -1) - (b.position ?? -1));
    return order.every(({ position }, index) => position === index) && order.map(({ id }) => id);
  });
}

test("kill -9 of the leader: who is next stays the same", async () => {
  // One runner is left and held, so that nothing starts meanwhile, and later one video after the other.
  for (let n = 2; n <= RUNNERS; n++) await product.admin("PATCH", `/runners/runner-${n}`, { drained: true });
  await product.admin("PATCH", "/scheduler/limits", { preempt_after_ms: 600_000 });
  const [heavy, light, plus] = [await customer("pro"), await customer("pro"), await customer("plus")];
  await inState("completed", await many(3, (n) => create(heavy, `past ${n}`)));
  // Of a tier in which nobody waits: what it is given back at its end changes nothing for the others.
  const free = await customer("free");
  const holder = await create(free, "!idle=500 a glacier", { steps: 100 });
  await inState("running", [holder]);
  const waiting: { account: Customer; id: string }[] = [];
  for (const account of [heavy, heavy, plus, light, plus, light, plus])
    waiting.push({ account, id: await create(account, "later") });
  const before = await inOrder(waiting);
  const tags = () => product.sql`select * from fair_tag order by account_id`;
  const tagsBefore = await tags();

  const [pid = 0] = (await product.pids()).control_plane;
  const [led] = await product.sql`select epoch from leader`;
  process.kill(pid, "SIGKILL");
  await until("somebody leads again", 20_000, async () => {
    const rows = await product.sql`select 1 from leader where epoch > ${led?.["epoch"]} and expires_at > now()`;
    return rows.length > 0;
  });
  expect(await inOrder(waiting)).toEqual(before);
  expect(await tags()).toEqual(tagsBefore);

  await cancelAll(free, [holder]);
  await inState("completed", before);
  const starts = await product.sql<{ jobId: string }[]>`
    select job_id as "jobId" from attempt where job_id in ${product.sql([...before])} order by started_at`;
  expect(starts.map(({ jobId }) => jobId)).toEqual(before);
});
