/** `videos.retrieve`, `videos.list` and `videos.delete`. */
import assert from "node:assert/strict";
import OpenAI from "openai";
import { assertRefused, ENDLESS, thrownBy, TINY } from "../stage.ts";
import type { Stage } from "../stage.ts";
import { OpenAiVideo } from "../video-shape.ts";
import type { Case } from "../case.ts";

const PAGE = 3;

/** Nine videos in the order of their creation. */
async function nine(stage: Stage): Promise<readonly string[]> {
  const ids: string[] = [];
  for (let n = 0; n < PAGE * 3; n++) ids.push((await stage.client().videos.create(TINY)).id);
  return ids;
}

/**
 * Reads page by page, and deletes while it reads: the very video that the next page starts after, and one of the page to come.
 * What was not deleted is seen, once and in order.
 */
async function pageThrough(stage: Stage, order: "asc" | "desc"): Promise<void> {
  const client = stage.client();
  const made = await nine(stage);
  const expected = order === "asc" ? made : made.toReversed();
  const [cursor = "", ahead = ""] = [expected[PAGE - 1], expected[PAGE + 1]];
  const seen: string[] = [];
  let pages = 0;
  for await (const page of (await client.videos.list({ limit: PAGE, order })).iterPages()) {
    pages++;
    for (const { id } of page.data) seen.push(id);
    if (pages === 1) await Promise.all([client.videos.delete(cursor), client.videos.delete(ahead)]);
  }
  assert.deepEqual(
    seen,
    expected.filter((id) => id !== ahead),
  );
  assert.equal(pages, 3);
  const asked = stage.proxy.calls("GET", "/v1/videos").map(({ path }) => new URL(path, stage.proxy.url).searchParams);
  assert.deepEqual(
    asked.map((query) => query.get("after")),
    [null, cursor, expected[2 * PAGE]],
  );
}

export const READ: readonly Case[] = [
  {
    call: "videos.retrieve",
    title: "an unknown id, a foreign id and no id at all are the same NotFoundError with its code, asked once",
    async check(stage) {
      const { id } = await stage.client().videos.create(TINY);
      const { apiKey } = await stage.product.account("pro");
      const stranger = stage.client(apiKey);
      const ids = [id, `video_${"0".repeat(32)}`, "nonsense", "a/b"];
      const errors = await Promise.all(ids.map((asked) => thrownBy(stranger.videos.retrieve(asked))));
      for (const error of errors) {
        assertRefused(error, OpenAI.NotFoundError, "video_not_found");
        assert.deepEqual(error.error, errors[0]?.error);
      }
      assert.equal(stage.proxy.exchanges.filter(({ method }) => method === "GET").length, ids.length);
    },
  },
  {
    call: "videos.list",
    title: "oldest first: three pages, with the cursor and a video ahead deleted in between, miss and repeat nothing",
    check: (stage) => pageThrough(stage, "asc"),
  },
  {
    call: "videos.list",
    title: "newest first: the same",
    check: (stage) => pageThrough(stage, "desc"),
  },
  {
    call: "videos.list",
    title: "an empty page has no first and no last id, and ends the iteration",
    async check(stage) {
      const page = await stage.client().videos.list();
      // What the SDK makes of null.
      assert.deepEqual([page.data, page.has_more, page.last_id], [[], false, ""]);
      const [listed] = stage.proxy.calls("GET", "/v1/videos");
      assert.deepEqual(listed?.body, { object: "list", data: [], first_id: null, last_id: null, has_more: false });
      assert.equal(page.hasNextPage(), false);
    },
  },
  {
    call: "videos.delete",
    title: "a completed video is answered 'video.deleted' and is gone, also for a second delete",
    async check(stage) {
      const client = stage.client();
      const { id } = await stage.made();
      assert.deepEqual(await client.videos.delete(id), { id, object: "video.deleted", deleted: true });
      assertRefused(await thrownBy(client.videos.retrieve(id)), OpenAI.NotFoundError, "video_not_found");
      assertRefused(await thrownBy(client.videos.downloadContent(id)), OpenAI.NotFoundError, "video_not_found");
      assertRefused(await thrownBy(client.videos.delete(id)), OpenAI.NotFoundError, "video_not_found");
    },
  },
  {
    call: "videos.delete",
    title: "a running video is cancelled, then deleted: it is gone at once, pays what was done, and frees its device",
    tier: "free",
    async check(stage) {
      const client = stage.client();
      const { id } = await client.videos.create(ENDLESS);
      await stage.reaches(id, "in_progress");
      assert.deepEqual(await client.videos.delete(id), { id, object: "video.deleted", deleted: true });
      assertRefused(await thrownBy(client.videos.retrieve(id)), OpenAI.NotFoundError, "video_not_found");
      // The tier runs one video at a time: that this one is completed says that the other has stopped.
      await stage.made();
      const [row] = await stage.product.sql`
        select j.state, h.state as hold, h.captured < h.amount as partly from job j join credit_hold h on h.job_id = j.id
        where j.id = ${id}`;
      assert.deepEqual([row?.["state"], row?.["partly"]], ["cancelled", true]);
      assert.notEqual(row?.["hold"], "open");
    },
  },
  {
    call: "videos.retrieve",
    title: "all 13 fields are there in every state: queued, in_progress, completed, failed, cancelled",
    tier: "free",
    async check(stage) {
      const client = stage.client();
      const running = await client.videos.create(ENDLESS);
      const late = await client.videos.create({ ...TINY, start_deadline_seconds: 1 } as typeof TINY);
      const queued = OpenAiVideo.parse(await client.videos.retrieve(late.id));
      const inProgress = OpenAiVideo.parse(await stage.reaches(running.id, "in_progress"));
      const failed = OpenAiVideo.parse(await stage.reaches(late.id, "failed"));
      await client.post(`/videos/${running.id}/cancel`);
      const cancelled = OpenAiVideo.parse(await stage.reaches(running.id, "failed"));
      const completed = OpenAiVideo.parse(await stage.made());
      assert.deepEqual(
        [queued, inProgress, failed, cancelled, completed].map(({ status, error }) => [status, error?.code ?? null]),
        [
          ["queued", null],
          ["in_progress", null],
          ["failed", "start_deadline_exceeded"],
          ["failed", "cancelled"],
          ["completed", null],
        ],
      );
      assert.equal(completed.progress, 100);
      assert.ok(completed.completed_at !== null && completed.completed_at >= completed.created_at);
      assert.ok(
        [queued, inProgress, failed, cancelled].every(
          ({ completed_at: at, progress }) => at === null && progress < 100,
        ),
      );
    },
  },
];
