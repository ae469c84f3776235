/** The whole product with its files in a bucket, which runners reach through us or by themselves: a video is made, read in parts, and its file removed with it. */
import { CreateBucketCommand, ListObjectsV2Command, S3Client } from "@aws-sdk/client-s3";
import type OpenAI from "openai";
import { afterAll, beforeAll, expect, inject, onTestFinished, test } from "vitest";
import { CHECKSUM_HEADER } from "#protocol/runner.ts";
import { readMp4 } from "#tests/support/mp4.ts";
import { Product, until } from "#tests/support/product.ts";
import { RecordingProxy } from "#tests/support/recording-proxy.ts";

const DONE_MS = 60_000;
const credentials = { accessKeyId: "test", secretAccessKey: "test" };
const client = new S3Client({ endpoint: inject("s3"), region: "us-east-1", credentials, forcePathStyle: true });

/** What reaches the bucket, from whichever program. */
let wire: RecordingProxy;
beforeAll(async () => {
  wire = await RecordingProxy.to(inject("s3"));
});
afterAll(() => wire.close());

async function aProduct(bucket: string, direct: "yes" | "no"): Promise<Product> {
  await client.send(new CreateBucketCommand({ Bucket: bucket }));
  const product = await Product.start({
    CALLSHEET_STORE_BUCKET: bucket,
    CALLSHEET_STORE_ENDPOINT: wire.url,
    CALLSHEET_STORE_REGION: "us-east-1",
    CALLSHEET_STORE_ACCESS_KEY_ID: credentials.accessKeyId,
    CALLSHEET_STORE_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    CALLSHEET_STORE_DIRECT: direct,
  });
  onTestFinished(() => product.stop());
  return product;
}

async function keysIn(bucket: string): Promise<readonly string[]> {
  const { Contents: found = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
  return found.map(({ Key }) => Key ?? "");
}

/** Uploads that a presigned URL let in: runners', because we sign each call of our own by its header. */
function uploadsPastUs(bucket: string) {
  return wire.exchanges.filter(
    ({ method, path }) => method === "PUT" && path.startsWith(`/${bucket}/jobs/`) && path.includes("X-Amz-Signature"),
  );
}

test.each(["no", "yes"] as const)(
  "with runners that reach it themselves (%s), a video is rendered with checkpoints, goes on after its runner is killed, is read whole and in part, and removed when it is deleted",
  async (direct) => {
    const bucket = `callsheet-product-${direct}`;
    const product = await aProduct(bucket, direct);
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
    await until("only the video is left", DONE_MS, async () =>
      (await keysIn(bucket)).every((key) => key.endsWith(".mp4")),
    );
    expect(await keysIn(bucket)).toHaveLength(1);
    const past = uploadsPastUs(bucket);
    if (direct === "no") expect(past).toEqual([]);
    else expect(past.filter(({ status }) => status === 200).length).toBeGreaterThanOrEqual(2);
    for (const { sent } of past) expect(sent[CHECKSUM_HEADER]).toMatch(/^[A-Za-z0-9+/]{43}=$/);
    await sdk.videos.delete(id);
    await until("nothing is left", DONE_MS, async () => (await keysIn(bucket)).length === 0);
  },
);
