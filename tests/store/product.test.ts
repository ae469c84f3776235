/** The whole product with its files in a bucket: a video is made, read in parts, and its file removed with it. */
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import type OpenAI from "openai";
import { afterAll, beforeAll, expect, inject, test } from "vitest";
import { readMp4 } from "#tests/support/mp4.ts";
import { Product, until } from "#tests/support/product.ts";

const BUCKET = "callsheet-product";
const DONE_MS = 60_000;
const credentials = { accessKeyId: "test", secretAccessKey: "test" };
const client = new S3Client({ endpoint: inject("s3"), region: "us-east-1", credentials, forcePathStyle: true });

let product: Product;
beforeAll(async () => {
  await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
  product = await Product.start({
    CALLSHEET_STORE_BUCKET: BUCKET,
    CALLSHEET_STORE_ENDPOINT: inject("s3"),
    CALLSHEET_STORE_ACCESS_KEY_ID: credentials.accessKeyId,
    CALLSHEET_STORE_SECRET_ACCESS_KEY: credentials.secretAccessKey,
  });
});
afterAll(() => product.stop());

async function keys(): Promise<readonly string[]> {
  const { Contents: found = [] } = await client.send(new ListObjectsV2Command({ Bucket: BUCKET }));
  return found.map(({ Key }) => Key ?? "");
}

test("a video is rendered with checkpoints, goes on after its runner is killed, read whole and in part, and removed when it is deleted", async () => {
  const { apiKey } = await product.account("pro");
  const sdk = product.client(apiKey, { maxRetries: 5 });
  const wanted = {
    model: "reference",
    prompt: "!idle=400 a red fox",
    size: "320x192",
    seconds: "1",
    steps: 10,
    seed: 5,
  };
  const { id } = await sdk.videos.create(wanted as unknown as OpenAI.VideoCreateParams);
  await until(
    "a checkpoint is in the bucket",
    DONE_MS,
    async () => (await product.sql`select 1 from checkpoint where job_id = ${id}`).length > 0,
  );
  const [row] = await product.sql`select runner_id from job where id = ${id}`;
  const { runners } = await product.pids();
  process.kill(runners[row?.["runner_id"] === "runner-1" ? 0 : 1] ?? 0, "SIGKILL");
  await until("it is completed", DONE_MS, async () => (await sdk.videos.retrieve(id)).status === "completed");
  const attempts = await product.sql`select from_step from attempt where job_id = ${id} order by epoch`;
  expect(attempts).toHaveLength(2);
  expect(Number(attempts[1]?.["from_step"])).toBeGreaterThan(0);
  const file = Buffer.from(await (await sdk.videos.downloadContent(id)).arrayBuffer());
  expect(readMp4(file)).toMatchObject({ codec: "avc1", width: 320, height: 192, frames: 24 });
  const part = await fetch(`${product.dev.edge_url}/v1/videos/${id}/content`, {
    headers: { authorization: `Bearer ${apiKey}`, range: "bytes=100-199" },
  });
  expect(Buffer.from(await part.arrayBuffer())).toEqual(file.subarray(100, 200));
  await until("only the video is left", DONE_MS, async () => (await keys()).every((key) => key.endsWith(".mp4")));
  expect(await keys()).toHaveLength(1);
  await sdk.videos.delete(id);
  await until("nothing is left", DONE_MS, async () => (await keys()).length === 0);
});
