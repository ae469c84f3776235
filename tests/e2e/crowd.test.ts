import type OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Product, until } from "#tests/support/product.ts";

let product: Product;
beforeAll(async () => {
  product = await Product.start({ CALLSHEET_RUNNERS: "2" });
});
afterAll(() => product.stop());

async function settled(count: number): Promise<void> {
  await until(`${count} videos are over`, 110_000, async () => {
    const [row] = await product.sql`select count(*)::int as left from job where finished_at is null`;
    return row?.["left"] === 0;
  });
}

test("50 videos of 10 accounts submitted at once on 2 runners all complete: none lost, run twice or charged twice", async () => {
  const accounts = await Promise.all(
    Array.from({ length: 10 }, (_, n) => product.account(["free", "plus", "pro"][n % 3] ?? "pro")),
  );
  const params = { size: "320x192", seconds: "1", steps: 8 };
  const created = await Promise.all(
    accounts.flatMap(({ apiKey }, account) =>
      Array.from({ length: 5 }, (_, n) =>
        product
          .client(apiKey)
          .videos.create({ ...params, prompt: `clip ${n} of ${account}` } as unknown as OpenAI.VideoCreateParams),
      ),
    ),
  );
  expect(new Set(created.map((video) => video.id)).size).toBe(50);
  await settled(50);

  const jobs = await product.sql`select state, count(*)::int as count from job group by state`;
  expect(jobs.map((row) => [row["state"], row["count"]])).toEqual([["completed", 50]]);
  const attempts =
    await product.sql`select outcome, count(*)::int as count, count(distinct job_id)::int as jobs from attempt group by outcome`;
  expect(attempts.map((row) => [row["outcome"], row["count"], row["jobs"]])).toEqual([["completed", 50, 50]]);
  const runners = await product.sql`select runner_id, count(*)::int as count from attempt group by runner_id`;
  expect(runners).toHaveLength(2);
  // No device ever ran two attempts at once.
  const overlaps = await product.sql`
    select 1 from attempt a join attempt b on a.runner_id = b.runner_id and a.job_id < b.job_id
    where a.started_at < b.ended_at and b.started_at < a.ended_at`;
  expect(overlaps).toHaveLength(0);
  const [money] = await product.sql`
    select sum(j.price)::text as price, sum(h.captured)::text as captured,
      (select sum(consumed)::text from credit_grant) as consumed, (select sum(held)::text from credit_grant) as held
    from job j join credit_hold h on h.job_id = j.id`;
  expect(money).toMatchObject({ captured: money?.["price"], consumed: money?.["price"], held: "0" });
  const gaps = await product.sql`
    select account_id from event group by account_id having max(sequence_number) <> count(*) or count(*) <> 15`;
  expect(gaps).toHaveLength(0);
});

test("then 6 videos of 480p complete", async () => {
  const client = product.client(product.key("pro"));
  for (let n = 0; n < 6; n++) {
    await client.videos.create({
      prompt: `city at night ${n}`,
      size: "832x480",
      seconds: "1",
      steps: 10,
    } as unknown as OpenAI.VideoCreateParams);
  }
  await settled(6);
  const [row] = await product.sql`select count(*)::int as count from job where state = 'completed'`;
  expect(row?.["count"]).toBe(56);
});
