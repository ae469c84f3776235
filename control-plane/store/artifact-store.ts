/**
 * Where checkpoints, references and finished videos live. Runners never open the store: they PUT and GET through
 * lease-bound URLs. Nothing half-written is ever visible under a key.
 */
import type { Readable } from "node:stream";
import type { Sha256Hex } from "#protocol/id.ts";

export interface StoredObject {
  readonly bytes: number;
  /** As `checksumOf`, if the store itself took it from the bytes; null: they came through us, who did. */
  readonly checksum: string | null;
}

export type PutOutcome =
  | { readonly ok: true; readonly bytes: number }
  /** `wrong_hash`: the bytes are not what was announced; nothing was stored. `full`: there is no room for them now. */
  | { readonly ok: false; readonly refusal: "wrong_hash" | "too_large" | "full" };

export interface ArtifactStore {
  put(
    key: string,
    body: Readable,
    expected: { readonly sha256: Sha256Hex; readonly bytesMax: number },
  ): Promise<PutOutcome>;
  stat(key: string): Promise<StoredObject | null>;
  /** Bytes `start` to `end`, both inclusive. */
  read(key: string, range: { readonly start: number; readonly end: number }): Readable;
  remove(key: string): Promise<void>;
}

/** Checkpoints may be large: 1080p, 60 s has about 190 MB of latents and as much history. */
export const CHECKPOINT_BYTES_MAX = 1024 * 1024 * 1024;
export const ARTIFACT_BYTES_MAX = 1024 * 1024 * 1024;

/** Each attempt writes under its own prefix, so two runners can never overwrite each other. */
export function storeKeyOf(
  lease: { readonly job: string; readonly epoch: number },
  kind: "checkpoint" | "artifact",
  sha256: Sha256Hex,
): string {
  const extension = kind === "artifact" ? "mp4" : "safetensors";
  return `jobs/${lease.job}/${lease.epoch}/${sha256}.${extension}`;
}

/** A key says which bytes belong under it: nobody who may still write there can make it say something else later. */
export function hashNamedBy(key: string): string {
  return key.slice(key.lastIndexOf("/") + 1).split(".")[0] ?? "";
}

/** As it is written in `CHECKSUM_HEADER`. */
export function checksumOf(sha256: string): string {
  return Buffer.from(sha256, "hex").toString("base64");
}

export function referenceKeyOf(sha256: Sha256Hex): string {
  return `references/${sha256}`;
}
