/**
 * The store in a bucket, against an S3 server that `tests/store/run` started: whole uploads, uploads in parts, and what is left of broken
 * ones, and URLs that lead past us.
 */
import { CreateBucketCommand, ListMultipartUploadsCommand, S3Client } from "@aws-sdk/client-s3";
import { beforeAll, describe, expect, inject, test } from "vitest";
import { checksumOf, storeKeyOf } from "#control-plane/store/artifact-store.ts";
import { S3Store } from "#control-plane/store/s3-store.ts";
import { S3Urls } from "#control-plane/store/s3-urls.ts";
import { STORE_URL_MS } from "#control-plane/store/store-url.ts";
import { CHECKSUM_HEADER, CHECKSUM_KIND } from "#protocol/runner.ts";
import { hashOf, keeps, putInto } from "./store-suite.ts";

const SETTINGS = {
  bucket: "callsheet",
  endpoint: inject("s3"),
  region: "us-east-1",
  accessKeyId: "test",
  secretAccessKey: "test",
};
const SIGNED_AT_MS = 1_700_000_000_000;
/** Their bytes are bound by the checksum that is signed. */
const UNSIGNED = { "x-amz-content-sha256": "UNSIGNED-PAYLOAD" };
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

describe("a URL that leads into the bucket", () => {
  const film = Buffer.from("a film");
  const sha256 = hashOf(film);
  const key = storeKeyOf({ job: "video_direct", epoch: 1 }, "artifact", sha256);
  const checksum = { [CHECKSUM_HEADER]: checksumOf(sha256), ...CHECKSUM_KIND };

  test("takes the bytes, keeps their checksum, and gives them back to whoever has the other URL", async () => {
    const urls = new S3Urls(SETTINGS);
    const put = urls.sign({ method: "PUT", key, bytes: film.length }, Date.now());
    const answer = await fetch(put, { method: "PUT", body: film, headers: checksum });
    expect(answer.status).toBe(200);
    expect(await new S3Store(SETTINGS).stat(key)).toEqual({ bytes: film.length, checksum: checksumOf(sha256) });
    const read = await fetch(urls.sign({ method: "GET", key }, Date.now()));
    expect(await read.text()).toBe("a film");
  });

  /** The SDK signs by its own code. */
  test.each([
    ["PUT", { "content-length": String(film.length), ...checksum }],
    ["GET", {}],
  ] as const)("is signed for one %s with these bytes, as the official SDK signs it", async (method, headers) => {
    const grant = method === "PUT" ? { method, key, bytes: film.length } : { method, key };
    const ours = new URL(new S3Urls(SETTINGS).sign(grant, SIGNED_AT_MS));
    const theirs = await presignedBySdk(method, ours, headers);
    expect(Object.fromEntries(ours.searchParams)).toEqual(theirs.query);
  });
});

/** The SDK's signer, as its own presigner calls it; its types promise less. */
interface Signer {
  presign(request: object, options: object): Promise<{ readonly query: Readonly<Record<string, string>> }>;
}

async function presignedBySdk(
  method: string,
  { host, pathname: path }: URL,
  headers: Readonly<Record<string, string>>,
) {
  const signer = (await client.config.signer()) as unknown as Signer;
  const unsigned = Object.keys(UNSIGNED);
  return signer.presign(
    { method, protocol: "http:", hostname: host, path, query: {}, headers: { host, ...headers, ...UNSIGNED } },
    {
      signingDate: new Date(SIGNED_AT_MS),
      expiresIn: STORE_URL_MS / 1_000,
      signingRegion: SETTINGS.region,
      signingService: "s3",
      signableHeaders: new Set(["host", ...Object.keys(headers)]),
      unhoistableHeaders: new Set([...Object.keys(headers), ...unsigned]),
      unsignableHeaders: new Set(unsigned),
    },
  );
}

test("a store that cannot be reached is a fault, not a missing file", async () => {
  const gone = new S3Store({ ...SETTINGS, endpoint: "http://127.0.0.1:9" });
  await expect(gone.stat("references/a")).rejects.toThrow();
  await expect(putInto(gone, "references/a", "x", hashOf("x"))).rejects.toThrow();
});
