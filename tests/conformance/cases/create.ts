/** `videos.create` in every form in which the SDK sends it. */
import assert from "node:assert/strict";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import OpenAI from "openai";
import type { VideoCreateParams } from "openai/resources/videos";
import { assertRefused, ENDLESS, thrownBy, TINY } from "../stage.ts";
import type { Stage } from "../stage.ts";
import { OpenAiVideo } from "../video-shape.ts";
import type { Case } from "../case.ts";

const PNG = new URL("../../support/first-frame.png", import.meta.url);
const PARALLEL = 10;

function creates(stage: Stage) {
  return stage.proxy.calls("POST", "/v1/videos");
}

async function latentsOf(stage: Stage, id: string): Promise<unknown> {
  const [row] = await stage.product.sql`select latents_sha256 from job where id = ${id}`;
  return row?.["latents_sha256"];
}

/** The reference has conditioned the video: same seed, another result than without. */
async function assertConditioned(stage: Stage, reference: VideoCreateParams["input_reference"]): Promise<void> {
  const seeded = { ...TINY, seed: 11 } as VideoCreateParams;
  const [plain, conditioned] = await Promise.all([
    stage.made(seeded),
    stage.made({ ...seeded, input_reference: reference } as VideoCreateParams),
  ]);
  assert.notEqual(await latentsOf(stage, conditioned.id), await latentsOf(stage, plain.id));
}

export const CREATE: readonly Case[] = [
  {
    call: "videos.create",
    title: "a prompt alone is enough: sent as a form, answered 200 with all 13 fields and OpenAI's defaults",
    async check(stage) {
      const video = await stage.client().videos.create({ prompt: "a lighthouse at dusk" });
      OpenAiVideo.parse(video);
      assert.deepEqual(
        [video.status, video.progress, video.size, video.seconds, video.prompt],
        ["queued", 0, "720x1280", "4", "a lighthouse at dusk"],
      );
      const [sent] = creates(stage);
      assert.match(sent?.sent["content-type"] ?? "", /^multipart\/form-data; boundary=/);
      assert.equal(sent?.status, 200);
    },
  },
  {
    call: "videos.create",
    title: "every field, OpenAI's and ours, is taken from the form",
    async check(stage) {
      const file = new File([await readFile(PNG)], "first.png", { type: "image/png" });
      const video = (await stage.client().videos.create({
        ...ENDLESS,
        model: "reference",
        input_reference: file,
        seed: 42,
        negative_prompt: "fog",
        metadata: { shot: "12a", take: "3" },
        webhook_url: `${stage.receiver.url}/hook`,
        start_deadline_seconds: 600,
        deadline_seconds: 900,
      } as VideoCreateParams)) as unknown as Record<string, unknown> & { id: string; created_at: number };
      assert.deepEqual(video["metadata"], { shot: "12a", take: "3" });
      const { start_deadline_at: start, deadline_at: end } = video["scheduler"] as Record<string, number>;
      assert.deepEqual([start, end], [video.created_at + 600, video.created_at + 900]);
      const [row] = await stage.product.sql`
        select seed, steps, negative_prompt, reference_sha256 is not null as referenced from job where id = ${video.id}`;
      assert.deepEqual({ ...row }, { seed: "42", steps: 100, negative_prompt: "fog", referenced: true });
    },
  },
  {
    call: "videos.create",
    title: "seconds as a number is the same as text, and is answered as text",
    async check(stage) {
      const video = await stage.client().videos.create({ ...TINY, seconds: 1 as unknown as "4" });
      assert.equal(video.seconds, "1");
    },
  },
  {
    call: "videos.create",
    title: "a File as input_reference conditions the video",
    async check(stage) {
      await assertConditioned(stage, new File([await readFile(PNG)], "first.png", { type: "image/png" }));
    },
  },
  {
    call: "videos.create",
    title: "an image_url with a data: URL conditions the video",
    async check(stage) {
      const url = `data:image/png;base64,${(await readFile(PNG)).toString("base64")}`;
      await assertConditioned(stage, { image_url: url });
    },
  },
  {
    call: "videos.create",
    title: "an image_url on the web and a file_id are a clean 400 that names the field, asked once",
    async check(stage) {
      const client = stage.client();
      const web = client.videos.create({ ...TINY, input_reference: { image_url: "https://example.com/a.png" } });
      const code = "unsupported_operation";
      assertRefused(await thrownBy(web), OpenAI.BadRequestError, code, "input_reference[image_url]");
      const file = client.videos.create({ ...TINY, input_reference: { file_id: "file-1" } });
      assertRefused(await thrownBy(file), OpenAI.BadRequestError, code, "input_reference[file_id]");
      assert.equal(creates(stage).length, 2);
    },
  },
  {
    call: "videos.create",
    title: "a stream from disk arrives in chunks",
    async check(stage) {
      await assertConditioned(stage, createReadStream(PNG));
      const chunked = creates(stage).filter(({ sent }) => sent["transfer-encoding"] === "chunked");
      assert.equal(chunked.length, 1);
    },
  },
  {
    call: "videos.create",
    title: "a stream is not sent twice: a 503 that invites a retry is handed to the caller",
    async check(stage) {
      stage.proxy.meet("POST", "/v1/videos", { kind: "answer", status: 503, headers: { "x-should-retry": "true" } });
      const create = stage.client().videos.create({ ...TINY, input_reference: createReadStream(PNG) });
      assert.ok((await thrownBy(create)) instanceof OpenAI.InternalServerError);
      assert.equal(creates(stage).length, 1);
    },
  },
  {
    call: "videos.create",
    title: `${PARALLEL} creates at once are ${PARALLEL} videos, each listed once`,
    async check(stage) {
      const client = stage.client();
      const made = await Promise.all(Array.from({ length: PARALLEL }, () => client.videos.create(TINY)));
      const ids = made.map(({ id }) => id).toSorted();
      assert.equal(new Set(ids).size, PARALLEL);
      const listed: string[] = [];
      for await (const { id } of client.videos.list()) listed.push(id);
      assert.deepEqual(listed.toSorted(), ids);
    },
  },
  {
    call: "videos.create",
    title: "a field that nobody knows, or a value that cannot be, is a 400 that names it, asked once",
    async check(stage) {
      const client = stage.client();
      const faults = [
        [{ fps: 60 }, "unknown_parameter", "fps"],
        [{ priority: "high" }, "unknown_parameter", "priority"],
        [{ prompt: "" }, "invalid_value", "prompt"],
        [{ size: "7x7" }, "invalid_value", "size"],
        [{ size: "640x360" }, "unsupported_size", "size"],
        [{ seconds: "abc" }, "invalid_value", "seconds"],
        [{ model: "sora-2" }, "unknown_model", "model"],
        [{ deadline_seconds: 0 }, "invalid_value", "deadline_seconds"],
        [{ metadata: { a: "x".repeat(513) } }, "invalid_value", "metadata[a]"],
      ] as const;
      for (const [change, code, param] of faults) {
        const error = await thrownBy(client.videos.create({ ...TINY, ...change } as unknown as VideoCreateParams));
        assertRefused(error, OpenAI.BadRequestError, code, param);
      }
      assert.equal(creates(stage).length, faults.length);
    },
  },
];
