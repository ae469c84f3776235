/** What the SDK repeats by itself, and what it must not. */
import assert from "node:assert/strict";
import OpenAI from "openai";
import { thrownBy, TINY } from "../stage.ts";
import type { Stage } from "../stage.ts";
import type { Case } from "../case.ts";

const PATH = "/v1/videos";

function retryCounts(stage: Stage): readonly unknown[] {
  return stage.proxy.calls("POST", PATH).map(({ sent }) => sent["x-stainless-retry-count"]);
}

async function videosOf(stage: Stage): Promise<number> {
  const [row] = await stage.product.sql`select count(*)::int as jobs from job where account_id = ${stage.account.id}`;
  return Number(row?.["jobs"]);
}

export const RETRY: readonly Case[] = [
  {
    call: "videos.create",
    title: "a 429 with retry-after-ms is retried and makes one video",
    async check(stage) {
      const limited = { kind: "answer", status: 429, headers: { "retry-after-ms": "10" } } as const;
      stage.proxy.meet("POST", PATH, limited, limited);
      const { id } = await stage.client().videos.create(TINY);
      assert.match(id, /^video_/);
      assert.deepEqual(retryCounts(stage), ["0", "1", "2"]);
      assert.equal(await videosOf(stage), 1);
    },
  },
  {
    call: "videos.create",
    title: "a 402 is not retried, and says what was required and what is available",
    async check(stage) {
      const { apiKey } = await stage.product.account("pro", "0.01");
      const error = await thrownBy(stage.client(apiKey).videos.create(TINY));
      assert.deepEqual([error.status, error.code, error.constructor], [402, "insufficient_credits", OpenAI.APIError]);
      const { required, available } = error.error as Record<string, unknown>;
      assert.equal(available, "0.01");
      assert.ok(Number(required) > 0.01);
      assert.deepEqual(retryCounts(stage), ["0"]);
    },
  },
  {
    call: "videos.create",
    title: "a wrong key is an AuthenticationError, asked once",
    async check(stage) {
      const error = await thrownBy(stage.client("cs_dev_wrong").videos.create(TINY));
      assert.ok(error instanceof OpenAI.AuthenticationError);
      assert.deepEqual([error.code, retryCounts(stage)], ["invalid_api_key", ["0"]]);
    },
  },
  {
    call: "videos.create",
    title: "a lost reply is retried by the SDK, and the retry is answered with the video that was made: one job",
    async check(stage) {
      stage.proxy.meet("POST", PATH, { kind: "lose_reply" });
      const { id } = await stage.client().videos.create(TINY);
      assert.deepEqual(retryCounts(stage), ["0", "1"]);
      const [row] = await stage.product.sql`select id from job where account_id = ${stage.account.id}`;
      assert.deepEqual([await videosOf(stage), row?.["id"]], [1, id]);
    },
  },
  {
    call: "videos.create",
    title: "the same create asked for twice on purpose is two videos",
    async check(stage) {
      const client = stage.client();
      const [first, second] = [await client.videos.create(TINY), await client.videos.create(TINY)];
      assert.notEqual(first.id, second.id);
      assert.equal(await videosOf(stage), 2);
    },
  },
];
