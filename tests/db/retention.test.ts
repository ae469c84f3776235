/** How long finished videos are kept: by their tier's terms, and no longer than their owner wants. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { deleteVideo } from "#control-plane/usecase/change-video.ts";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import { sweepResults } from "#control-plane/usecase/sweep-results.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { anArtifact, Studio } from "#tests/support/studio.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

async function aFinishedVideo(tier: string): Promise<{ account: AccountId; id: VideoId; key: string }> {
  const account = await studio.account(tier, { amount: "10" });
  const { id } = await studio.submitted(account);
  const { job } = await studio.dispatched(id);
  const key = `jobs/${id}/${job.epoch}/a.mp4`;
  const finished = { kind: "finished", epoch: job.epoch, artifact: anArtifact(), artifactKey: key } as const;
  await recordEnd(studio.sql, { job: id, epoch: job.epoch }, finished);
  return { account, id, key };
}

/** What the sweep removes, in two rounds: the second finds nothing more. */
async function swept(): Promise<readonly string[]> {
  const removed: string[] = [];
  const store = { remove: async (key: string) => void removed.push(key) } as never;
  await sweepResults(studio.sql, store);
  await sweepResults(studio.sql, store);
  return removed;
}

test("a finished video is kept until its tier's time is over, and says so", async () => {
  await studio.sql`update tier set keep_video_hours = 24 where name = 'free'`;
  const [short, long] = [await aFinishedVideo("free"), await aFinishedVideo("pro")];
  const { expiresAt, finishedAt } = await studio.job(short.id);
  expect(Number(expiresAt) - Number(finishedAt)).toBe(24 * 3_600_000);
  expect((await studio.job(long.id)).expiresAt).toBeNull();
  expect(await swept()).toEqual([]);
  await studio.sql`update job set expires_at = now() - interval '1 s' where id = ${short.id}`;
  expect(await swept()).toEqual([short.key]);
  // What it was stays: only the file is gone.
  const after = await studio.job(short.id);
  expect([after.state, after.artifactKey, after.artifactRemovedAt === null]).toEqual(["completed", short.key, false]);
});

test("the file of a deleted video goes as well, and no other", async () => {
  const [gone, kept] = [await aFinishedVideo("pro"), await aFinishedVideo("pro")];
  await deleteVideo(studio.sql, gone.account, gone.id);
  expect(await swept()).toEqual([gone.key]);
  expect((await studio.job(kept.id)).artifactRemovedAt).toBeNull();
});

test("a file whose removal was not noted, for a crash, is removed again", async () => {
  const { account, id, key } = await aFinishedVideo("pro");
  await deleteVideo(studio.sql, account, id);
  const dying = { remove: async () => Promise.reject(new Error("the store is away")) } as never;
  await expect(sweepResults(studio.sql, dying)).rejects.toThrow("the store is away");
  expect(await swept()).toEqual([key]);
});
