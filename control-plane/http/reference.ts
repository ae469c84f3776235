/** A create's reference image: its hash, and how it is put into the store under it, so that the same image is kept once. */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { referenceKeyOf } from "#control-plane/store/artifact-store.ts";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";
import type { SubmittedReference } from "#control-plane/usecase/submit-job.ts";
import type { InputReference } from "#protocol/create-video.ts";
import { CREATE_BODY_BYTES_MAX } from "#protocol/create-video.ts";
import { Sha256Hex } from "#protocol/id.ts";
import { invariant } from "#protocol/invariant.ts";

export function referenceOf(store: ArtifactStore, reference: InputReference): SubmittedReference {
  const bytes = Buffer.from(reference.data, "base64");
  const sha256 = Sha256Hex.parse(createHash("sha256").update(bytes).digest("hex"));
  const keep = async () => {
    const expected = { sha256, bytesMax: CREATE_BODY_BYTES_MAX };
    const put = await store.put(referenceKeyOf(sha256), Readable.from([bytes]), expected);
    invariant(put.ok, "the edge caps references, and the hash is of these bytes");
  };
  return { sha256, mediaType: reference.media_type, keep };
}
