/** Remixes: whose terms they take, and what they are refused for. */
import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AdmissionOutlook } from "#control-plane/usecase/admission-outlook.ts";
import { deleteVideo } from "#control-plane/usecase/change-video.ts";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import { remixVideo } from "#control-plane/usecase/remix-video.ts";
import { RemixVideo } from "#protocol/create-video.ts";
import { RequestId, VideoId } from "#protocol/id.ts";
import type { AccountId, CreateKey } from "#protocol/id.ts";
import { aCreateKey, anArtifact, Studio, TINY } from "#tests/support/studio.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

async function aVideo(asked: object = {}) {
  const account = await studio.account("pro", { amount: "100" });
  return { account, ...(await studio.submitted(account, { ...TINY, ...asked })) };
}

async function aCompletedVideo(asked: object = {}) {
  const video = await aVideo(asked);
  const { epoch } = (await studio.dispatched(video.id)).job;
  const artifactKey = "jobs/x/1/a.mp4";
  await recordEnd(
    studio.sql,
    { job: video.id, epoch },
    { kind: "finished", epoch, artifact: anArtifact(), artifactKey },
  );
  return video;
}

async function remix(account: AccountId, source: VideoId, body: object, createKey: CreateKey = aCreateKey()) {
  return remixVideo(studio.sql, {
    account,
    requestId: RequestId.parse(`req_${randomBytes(16).toString("hex")}`),
    source,
    submit: { create_key: createKey, remix: RemixVideo.parse(body) },
    seed: 99,
    loadOf: await new AdmissionOutlook(studio.sql, Date.now).read(),
  });
}

test("a remix has its source's terms, seed and price, its own prompt and metadata, and names the source", async () => {
  const source = await aCompletedVideo({ seed: 5, steps: 9, negative_prompt: "fog", metadata: { shot: "1" } });
  const made = await remix(source.account, source.id, { prompt: "in the rain", metadata: { shot: "2" } });
  if (!made.ok) throw new Error(made.refusal.message);
  const { model, size, seconds, steps, seed, fps, price, negativePrompt } = source;
  expect(made.job).toMatchObject({ model, size, seconds, steps, seed, fps, price, negativePrompt, state: "queued" });
  expect(made.job).toMatchObject({ prompt: "in the rain", metadata: { shot: "2" }, remixedFromVideoId: source.id });
});

test("the source's reference image conditions the remix too", async () => {
  const source = await aCompletedVideo();
  const sha256 = "c".repeat(64);
  await studio.sql`
    update job set reference_sha256 = ${sha256}, reference_media_type = 'image/png' where id = ${source.id}`;
  const made = await remix(source.account, source.id, { prompt: "in the rain" });
  expect(made).toMatchObject({ job: { referenceSha256: sha256, referenceMediaType: "image/png" } });
});

test("a video that is not completed, a deleted, a foreign and an unknown one make no remix", async () => {
  const waiting = await aVideo();
  const [deleted, foreign] = [await aCompletedVideo(), await aCompletedVideo()];
  await deleteVideo(studio.sql, deleted.account, deleted.id);
  const unknown = VideoId.parse(`video_${"0".repeat(32)}`);
  const codes = [];
  for (const [account, id] of [
    [waiting.account, waiting.id],
    [deleted.account, deleted.id],
    [waiting.account, foreign.id],
    [waiting.account, unknown],
  ] as const) {
    const made = await remix(account, id, { prompt: "in the rain" });
    codes.push(made.ok ? "made" : made.refusal.code);
  }
  expect(codes).toEqual(["video_not_ready", "video_not_found", "video_not_found", "video_not_found"]);
});

test("a repeated remix is the same video, also when its source was deleted in between", async () => {
  const source = await aCompletedVideo();
  const key = aCreateKey();
  const first = await remix(source.account, source.id, { prompt: "in the rain" }, key);
  await deleteVideo(studio.sql, source.account, source.id);
  const again = await remix(source.account, source.id, { prompt: "in the rain" }, key);
  if (!first.ok || !again.ok) throw new Error("refused");
  expect([again.job.id, again.repeated]).toEqual([first.job.id, true]);
});

test("what a remix cannot change is refused by its name", () => {
  const refused = RemixVideo.safeParse({ prompt: "a", size: "1280x720" });
  expect(refused.error?.issues[0]).toMatchObject({ code: "unrecognized_keys", keys: ["size"] });
});
