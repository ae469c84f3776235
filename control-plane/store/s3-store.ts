/**
 * The artifact store in a bucket of S3, R2 or what speaks their language. Bytes that come through the control plane, as with the disk, are
 * visible under their key only once their hash was checked; by `s3-urls.ts` runners can put and get theirs without us.
 *
 * Large files go up in parts of one size (R2 demands that), each repeated by itself if its upload breaks. A file whose hash is not
 * the announced one fails before its last part, and its upload is aborted.
 */
import { createHash } from "node:crypto";
import { PassThrough, type Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  S3Client,
  S3ServiceException,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { invariant } from "#protocol/invariant.ts";
import type { ArtifactStore, PutOutcome, StoredObject } from "./artifact-store.ts";

const PART_BYTES = 8 * 1024 * 1024;
/** Parts of one file under way at once; together they bound the memory of an upload. */
const PARTS_AT_ONCE = 2;
const TRIES_MAX = 4;
/** No room, as far as such stores tell. */
const FULL: ReadonlySet<string> = new Set([
  "QuotaExceeded",
  "EntityTooLarge",
  "InsufficientStorage",
  "XMinioStorageFull",
]);

export interface S3Settings {
  readonly bucket: string;
  /** Null: AWS. */
  readonly endpoint: string | null;
  readonly region: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

class Unfit extends Error {
  override readonly name = "Unfit";
  readonly refusal: "wrong_hash" | "too_large";
  constructor(refusal: "wrong_hash" | "too_large") {
    super(refusal);
    this.refusal = refusal;
  }
}

export class S3Store implements ArtifactStore {
  readonly #bucket: string;
  readonly #client: S3Client;

  constructor({ bucket, endpoint, region, accessKeyId, secretAccessKey }: S3Settings) {
    this.#bucket = bucket;
    this.#client = new S3Client({
      region,
      maxAttempts: TRIES_MAX,
      credentials: { accessKeyId, secretAccessKey },
      // Stores beside AWS have no names of their own for buckets, and do not know its newer checksums.
      ...(endpoint === null ? {} : { endpoint, forcePathStyle: true }),
      requestChecksumCalculation: "WHEN_REQUIRED",
      responseChecksumValidation: "WHEN_REQUIRED",
    });
  }

  async put(
    key: string,
    body: Readable,
    expected: { readonly sha256: string; readonly bytesMax: number },
  ): Promise<PutOutcome> {
    const { checked, bytes } = checkedBody(expected);
    const upload = new Upload({
      client: this.#client,
      params: { Bucket: this.#bucket, Key: key, Body: checked },
      partSize: PART_BYTES,
      queueSize: PARTS_AT_ONCE,
      leavePartsOnError: false,
    });
    try {
      await Promise.all([pipeline(body, checked, { end: true }), upload.done()]);
      return { ok: true, bytes: bytes() };
    } catch (fault) {
      await upload.abort();
      if (fault instanceof Unfit) return { ok: false, refusal: fault.refusal };
      if (fault instanceof S3ServiceException && FULL.has(fault.name)) return { ok: false, refusal: "full" };
      throw fault;
    }
  }

  async stat(key: string): Promise<StoredObject | null> {
    try {
      const { ContentLength: bytes, ChecksumSHA256: checksum } = await this.#client.send(
        new HeadObjectCommand({ Bucket: this.#bucket, Key: key, ChecksumMode: "ENABLED" }),
      );
      invariant(bytes !== undefined, "a store says how long an object is");
      return { bytes, checksum: checksum ?? null };
    } catch (fault) {
      if (fault instanceof S3ServiceException && fault.$metadata.httpStatusCode === 404) return null;
      throw fault;
    }
  }

  read(key: string, { start, end }: { readonly start: number; readonly end: number }): Readable {
    const out = new PassThrough();
    const stop = new AbortController();
    out.once("close", () => stop.abort());
    this.#client
      .send(new GetObjectCommand({ Bucket: this.#bucket, Key: key, Range: `bytes=${start}-${end}` }), {
        abortSignal: stop.signal,
      })
      .then(async ({ Body: body }) => pipeline(body as Readable, out))
      .catch((fault: unknown) => out.destroy(fault instanceof Error ? fault : new Error(String(fault))));
    return out;
  }

  async remove(key: string): Promise<void> {
    await this.#client.send(new DeleteObjectCommand({ Bucket: this.#bucket, Key: key }));
  }
}

/** Passes what comes, and fails before its end if that is too much, or not what was announced. */
function checkedBody({ sha256, bytesMax }: { readonly sha256: string; readonly bytesMax: number }) {
  const hash = createHash("sha256");
  let bytes = 0;
  const checked = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (bytes > bytesMax) return done(new Unfit("too_large"));
      hash.update(chunk);
      done(null, chunk);
    },
    flush(done) {
      done(hash.digest("hex") === sha256 ? null : new Unfit("wrong_hash"));
    },
  });
  return { checked, bytes: () => bytes };
}
