/** `videos.downloadContent`: bytes, variants, redirects, and a video that is not ready. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingHttpHeaders } from "node:http";
import type { AddressInfo } from "node:net";
import { ImageDecoder } from "@napi-rs/webcodecs";
import OpenAI from "openai";
import { readMp4 } from "#tests/support/mp4.ts";
import { assertRefused, ENDLESS, thrownBy } from "../stage.ts";
import type { Stage } from "../stage.ts";
import type { Case } from "../case.ts";

function downloads(stage: Stage, id: string) {
  return stage.proxy.calls("GET", `/v1/videos/${id}/content`);
}

async function bytesOf(response: Response): Promise<Buffer> {
  return Buffer.from(await response.arrayBuffer());
}

export const CONTENT: readonly Case[] = [
  {
    call: "videos.downloadContent",
    title: "the MP4 that the runner uploaded, byte for byte, also as variant 'video', answered 200 without a redirect",
    async check(stage) {
      const { id } = await stage.made();
      const answer = await stage.client().videos.downloadContent(id);
      assert.deepEqual(
        [answer.status, answer.headers.get("content-type"), answer.redirected],
        [200, "video/mp4", false],
      );
      const bytes = await bytesOf(answer);
      const [row] = await stage.product.sql`select artifact_sha256 from job where id = ${id}`;
      assert.equal(createHash("sha256").update(bytes).digest("hex"), row?.["artifact_sha256"]);
      const { width, height, seconds } = readMp4(bytes);
      assert.deepEqual([width, height, Math.round(seconds)], [320, 192, 1]);
      const named = await stage.client().videos.downloadContent(id, { variant: "video" });
      assert.ok(bytes.equals(await bytesOf(named)));
    },
  },
  {
    call: "videos.downloadContent",
    title: "a part of it by Range",
    async check(stage) {
      const { id } = await stage.made();
      const answer = await stage.client().videos.downloadContent(id, {}, { headers: { range: "bytes=4-7" } });
      assert.equal(answer.status, 206);
      assert.match(answer.headers.get("content-range") ?? "", /^bytes 4-7\/\d+$/);
      assert.equal((await bytesOf(answer)).toString("latin1"), "ftyp");
    },
  },
  {
    call: "videos.downloadContent",
    title:
      "a 302 to another host is followed, and the key is not sent there (the edge itself streams: the redirect is the test's)",
    async check(stage) {
      const seen: IncomingHttpHeaders[] = [];
      const elsewhere = createServer((request, response) => {
        seen.push(request.headers);
        response.writeHead(200, { "content-type": "video/mp4" }).end("signed bytes");
      });
      elsewhere.listen(0, "127.0.0.1");
      await once(elsewhere, "listening");
      try {
        const location = `http://127.0.0.1:${(elsewhere.address() as AddressInfo).port}/signed?signature=1`;
        const id = `video_${"0".repeat(32)}`;
        stage.proxy.meet("GET", `/v1/videos/${id}/content`, { kind: "answer", status: 302, headers: { location } });
        const answer = await stage.client().videos.downloadContent(id);
        assert.deepEqual([answer.redirected, await answer.text()], [true, "signed bytes"]);
        assert.deepEqual(
          seen.map(({ authorization }) => authorization),
          [undefined],
        );
        assert.match(String(downloads(stage, id)[0]?.sent.authorization), /^Bearer /);
      } finally {
        elsewhere.close();
        elsewhere.closeAllConnections();
      }
    },
  },
  {
    call: "videos.downloadContent",
    title: "variant 'thumbnail' is a WebP of one frame, at most 640 pixels a side",
    async check(stage) {
      const { id } = await stage.made();
      const answer = await stage.client().videos.downloadContent(id, { variant: "thumbnail" });
      assert.equal(answer.headers.get("content-type"), "image/webp");
      const bytes = await bytesOf(answer);
      assert.equal(bytes.length, Number(answer.headers.get("content-length")));
      const decoder = new ImageDecoder({ data: bytes, type: "image/webp" });
      const { image } = await decoder.decode();
      assert.deepEqual([image.codedWidth, image.codedHeight], [320, 192]);
      image.close();
      decoder.close();
    },
  },
  {
    call: "videos.downloadContent",
    title: "variant 'spritesheet' is a clean 'unsupported_operation', asked once",
    async check(stage) {
      const { id } = await stage.made();
      const error = await thrownBy(stage.client().videos.downloadContent(id, { variant: "spritesheet" }));
      assertRefused(error, OpenAI.BadRequestError, "unsupported_operation", "variant");
      assert.equal(downloads(stage, id).length, 1);
    },
  },
  {
    call: "videos.downloadContent",
    title: "a video that is not ready is a ConflictError 'video_not_ready', asked once",
    async check(stage) {
      const { id } = await stage.client().videos.create(ENDLESS);
      const error = await thrownBy(stage.client().videos.downloadContent(id));
      assertRefused(error, OpenAI.ConflictError, "video_not_ready");
      assert.equal(downloads(stage, id).length, 1);
    },
  },
];
