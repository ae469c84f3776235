/** Videos made of videos: `remix`, our own `promote`, and what is not offered. */
import assert from "node:assert/strict";
import OpenAI from "openai";
import type { VideoCreateParams } from "openai/resources/videos";
import { assertRefused, ENDLESS, thrownBy, TINY } from "../stage.ts";
import { OpenAiVideo } from "../video-shape.ts";
import type { Case } from "../case.ts";

/** Larger than what the kernel buffers: a refusal that does not read it would cut the connection. */
const CLIP = () => new File([new Uint8Array(3_000_000)], "clip.mp4", { type: "video/mp4" });

export const DERIVE: readonly Case[] = [
  {
    call: "videos.remix",
    title: "JSON with a prompt makes a new video of the same model, size, seconds and seed, that names its source",
    async check(stage) {
      const client = stage.client();
      const source = await stage.made({ ...TINY, seed: 5 } as VideoCreateParams);
      const remix = await client.videos.remix(source.id, { prompt: "the same fox in the rain" });
      OpenAiVideo.parse(remix);
      const [sent] = stage.proxy.calls("POST", `/v1/videos/${source.id}/remix`);
      assert.equal(sent?.sent["content-type"], "application/json");
      const done = await stage.completed(remix.id);
      assert.deepEqual(
        [done.remixed_from_video_id, done.prompt, done.model, done.size, done.seconds],
        [source.id, "the same fox in the rain", source.model, source.size, source.seconds],
      );
      const rows = await stage.product.sql`
        select seed, steps, price, latents_sha256 from job where id in ${stage.product.sql([source.id, remix.id])}`;
      assert.deepEqual(
        [rows[0]?.["seed"], rows[0]?.["steps"], rows[0]?.["price"]],
        [rows[1]?.["seed"], rows[1]?.["steps"], rows[1]?.["price"]],
      );
      assert.notEqual(rows[0]?.["latents_sha256"], rows[1]?.["latents_sha256"]);
    },
  },
  {
    call: "videos.remix",
    title: "of a video that is not completed: ConflictError; of an unknown or a foreign one: NotFoundError; asked once",
    async check(stage) {
      const client = stage.client();
      const { id } = await client.videos.create(ENDLESS);
      const prompt = { prompt: "in the rain" };
      assertRefused(await thrownBy(client.videos.remix(id, prompt)), OpenAI.ConflictError, "video_not_ready");
      assert.equal(stage.proxy.calls("POST", `/v1/videos/${id}/remix`).length, 1);
      const { apiKey } = await stage.product.account("pro");
      const foreign = await stage.made();
      const strangers = [
        await thrownBy(stage.client(apiKey).videos.remix(foreign.id, prompt)),
        await thrownBy(stage.client(apiKey).videos.remix(`video_${"0".repeat(32)}`, prompt)),
      ];
      for (const error of strangers) assertRefused(error, OpenAI.NotFoundError, "video_not_found");
    },
  },
  {
    call: "videos.create, post",
    title:
      "a draft and, by our own 'promote', its rest: the video that a create without 'draft' makes, for the same price",
    async check(stage) {
      const client = stage.client();
      const asked = { ...TINY, seed: 11 } as VideoCreateParams;
      const whole = await stage.made(asked);
      const draft = await stage.made({ ...asked, draft: true } as VideoCreateParams);
      const rest = await client.post<OpenAI.Video>(`/videos/${draft.id}/promote`);
      OpenAiVideo.parse(rest);
      const done = await stage.completed(rest.id);
      assert.deepEqual([done.prompt, done.model, done.size], [whole.prompt, whole.model, whole.size]);
      const rows = await stage.product.sql`
        select latents_sha256, price, promoted_from_video_id from job
        where id in ${stage.product.sql([whole.id, draft.id, rest.id])} order by created_at, id`;
      const [wholeRow, draftRow, restRow] = rows;
      assert.equal(restRow?.["latents_sha256"], wholeRow?.["latents_sha256"]);
      assert.notEqual(draftRow?.["latents_sha256"], wholeRow?.["latents_sha256"]);
      assert.equal(restRow?.["promoted_from_video_id"], draft.id);
      assert.equal(BigInt(draftRow?.["price"]) + BigInt(restRow?.["price"]), BigInt(wholeRow?.["price"]));
      const again = await thrownBy(client.post(`/videos/${whole.id}/promote`));
      assertRefused(again, OpenAI.BadRequestError, "unsupported_operation");
    },
  },
  {
    call: "videos.edit, extend, createCharacter, getCharacter",
    title: "clean 'unsupported_operation', by id and with an uploaded video, each asked once",
    async check(stage) {
      const { videos } = stage.client();
      const { id } = await stage.made();
      const calls = [
        videos.edit({ prompt: "in the rain", video: { id } }),
        videos.edit({ prompt: "in the rain", video: CLIP() }),
        videos.extend({ prompt: "on and on", seconds: "4", video: { id } }),
        videos.extend({ prompt: "on and on", seconds: "4", video: CLIP() }),
        videos.createCharacter({ name: "fox", video: CLIP() }),
        videos.getCharacter("char_1"),
      ];
      for (const error of await Promise.all(calls.map((call) => thrownBy(call)))) {
        assertRefused(error, OpenAI.BadRequestError, "unsupported_operation");
      }
      const asked = stage.proxy.exchanges.filter(({ path }) => /\/(edits|extensions|characters)/.test(path));
      assert.deepEqual([asked.length, ...new Set(asked.map(({ status }) => status))], [calls.length, 400]);
    },
  },
];
