/** The store in a bucket, against an S3 server that `tests/store/run` started: whole uploads, uploads in parts, and what is left of broken ones. */
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import { beforeAll, expect, inject, test } from "vitest";
import { S3Store } from "#control-plane/store/s3-store.ts";
import { hashOf, keeps, putInto } from "./store-suite.ts";

const SETTINGS = {
  bucket: "callsheet",
  endpoint: inject("s3"),
  region: "us-east-1",
  accessKeyId: "test",
  secretAccessKey: "test",
};
const client = new S3Client({
  endpoint: SETTINGS.endpoint,
  region: SETTINGS.region,
  credentials: SETTINGS,
  forcePathStyle: true,
});
beforeAll(() => client.send(new CreateBucketCommand({ Bucket: SETTINGS.bucket })));

keeps("the store in a bucket", () => new S3Store(SETTINGS));

test("an upload that failed leaves no parts that cost money", async () => {
  const { Uploads: left = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: SETTINGS.bucket }));
  expect(left).toEqual([]);
});

test("a store that cannot be reached is a fault, not a missing file", async () => {
  const gone = new S3Store({ ...SETTINGS, endpoint: "http://127.0.0.1:9" });
  await expect(gone.stat("references/a")).rejects.toThrow();
  await expect(putInto(gone, "references/a", "x", hashOf("x"))).rejects.toThrow();
});
