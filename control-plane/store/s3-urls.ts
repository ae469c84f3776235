/**
 * Lease-bound URLs that lead into the bucket itself: presigned as AWS Signature Version 4 has it, so files of runners do not pass
 * through the control plane. A PUT signs length and SHA-256 of its bytes, and the store refuses any others: so here
 * too nothing is visible under a key but what it names. A store that keeps no checksums is found out by the first upload.
 */
import aws4 from "aws4";
import { CHECKSUM_HEADER, CHECKSUM_KIND } from "#protocol/runner.ts";
import { checksumOf, hashNamedBy } from "./artifact-store.ts";
import type { S3Settings } from "./s3-store.ts";
import { STORE_URL_MS } from "./store-url.ts";
import type { FileUrls, StoreGrant } from "./store-url.ts";

export class S3Urls implements FileUrls {
  readonly checkedBy = "store";
  readonly #settings: S3Settings;
  readonly #base: URL;

  constructor(settings: S3Settings) {
    const { bucket, endpoint, region } = settings;
    this.#settings = settings;
    this.#base = new URL(
      endpoint === null ? `https://${bucket}.s3.${region}.amazonaws.com/` : `${endpoint}/${bucket}/`,
    );
  }

  sign(grant: StoreGrant, nowMs: number): string {
    const { accessKeyId, secretAccessKey, region } = this.#settings;
    const url = new URL(grant.key, this.#base);
    url.searchParams.set("X-Amz-Date", new Date(nowMs).toISOString().replaceAll(/[-:]|\.\d{3}/g, ""));
    url.searchParams.set("X-Amz-Expires", String(STORE_URL_MS / 1_000));
    const { path } = aws4.sign(
      {
        service: "s3",
        region,
        method: grant.method,
        host: url.host,
        path: url.pathname + url.search,
        signQuery: true,
        headers: grant.method === "PUT" ? headersOf(grant) : {},
      },
      { accessKeyId, secretAccessKey },
    );
    return new URL(path ?? "", url).href;
  }
}

function headersOf({ key, bytes }: Extract<StoreGrant, { method: "PUT" }>) {
  return { "content-length": bytes, [CHECKSUM_HEADER]: checksumOf(hashNamedBy(key)), ...CHECKSUM_KIND };
}
