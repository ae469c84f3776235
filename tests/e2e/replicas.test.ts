import { randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { z } from "zod";
import { AccountId, RequestId } from "#protocol/id.ts";
import { signCall } from "#protocol/signed-call.ts";
import { Video } from "#protocol/video.ts";
import { Product, until } from "#tests/support/product.ts";

let product: Product;
let leader: string;
let leaderPid: number;
let follower: string;
beforeAll(async () => {
  product = await Product.start({ CALLSHEET_REPLICAS: "2", CALLSHEET_RUNNERS: "1", CALLSHEET_LOG: "info" });
  const urls = await Promise.all(["control-plane", "control-plane-2"].map(urlOf));
  leader = await until("somebody leads", 10_000, async () => {
    const [row] = await product.sql`select url from leader where expires_at > now()`;
    return row === undefined ? null : String(row["url"]);
  });
  leaderPid = product.dev.pids.control_plane[urls.indexOf(leader)] ?? 0;
  follower = urls.find((url) => url !== leader) ?? "";
});
afterAll(() => product.stop());

/** Where a replica listens, as it logged it. */
async function urlOf(replica: string): Promise<string> {
  const log = await readFile(join(product.home, "logs", `${replica}.log`), "utf8");
  const port = /"port":(\d+)[^\n]*"control plane ready"/.exec(log)?.[1] ?? "";
  return `http://127.0.0.1:${port}`;
}

/** What one replica says of a video, asked as the edge would. */
async function videoFrom(replica: string, account: string, id: string): Promise<Video> {
  const secrets = z
    .object({ edge_secret: z.string() })
    .parse(JSON.parse(await readFile(join(product.home, "secrets.json"), "utf8")));
  const url = new URL(`/edge/v1/videos/${id}`, replica);
  const call = {
    method: "GET",
    url,
    body: new Uint8Array(0),
    account: AccountId.parse(account),
    requestId: RequestId.parse(`req_${randomBytes(16).toString("hex")}`),
  };
  const response = await fetch(url, { headers: await signCall(call, secrets.edge_secret, Date.now()) });
  return Video.parse(await response.json());
}

test("a replica that does not lead asks the leader why a video waits, and does without if the leader is mute", async () => {
  const { id: account, apiKey } = await product.account("free");
  const client = product.client(apiKey);
  const create = (more: object) =>
    client.videos.create({ size: "320x192", seconds: "1", ...more } as unknown as OpenAI.VideoCreateParams);
  const first = await create({ prompt: "!idle=200 one", steps: 40 });
  const second = await create({ prompt: "two", steps: 4 });
  await until("the first one runs", 20_000, async () => (await client.videos.retrieve(first.id)).progress > 0);

  for (const replica of [leader, follower]) {
    const { scheduler } = await until("the wait is explained", 10_000, async () => {
      const video = await videoFrom(replica, account, second.id);
      return video.scheduler.position !== null && video;
    });
    expect(scheduler).toMatchObject({ position: 0, blocked_by: "account_concurrency" });
    expect(scheduler.eta?.start_p90).toBeGreaterThanOrEqual(scheduler.eta?.start_p50 ?? Infinity);
  }

  process.kill(leaderPid, "SIGSTOP");
  try {
    const askedAtMs = performance.now();
    const { scheduler } = await videoFrom(follower, account, second.id);
    expect(performance.now() - askedAtMs).toBeLessThan(1_000);
    expect(scheduler).toMatchObject({ state: "queued", position: null, eta: null, blocked_by: null });
  } finally {
    process.kill(leaderPid, "SIGCONT");
  }
});

test("the leader tells every replica what videos that come now would meet", async () => {
  const tiers = await until("a fresh summary of every class", 5_000, async () => {
    const rows = await product.sql`
      select tier from admission_summary s join leader l on l.epoch = s.epoch
      where s.at > now() - interval '5 s' and s.start_p90_ms >= s.start_p50_ms
      group by tier having count(*) = (select count(*) from model_class) order by tier`;
    return rows.length > 0 && rows.map((row) => String(row["tier"]));
  });
  expect(tiers).toEqual(["free", "plus", "pro"]);
});
