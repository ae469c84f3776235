/**
 * What makes two creates the same request: the SHA-256 of the fields as they were read, and of a reference's bytes.
 *
 * Never of the body: an SDK's retry has another multipart boundary, and a form and JSON may say the same. Fields that were
 * left out are left out here too, so a later default does not change what an old request was.
 */
import { sha256Hex } from "#protocol/api-key.ts";
import type { CreateVideo } from "#protocol/create-video.ts";
import type { Sha256Hex } from "#protocol/id.ts";
import { canonicalJson } from "./core/canonical-json.ts";

export async function fingerprintOf(video: CreateVideo): Promise<Sha256Hex> {
  const { input_reference: reference, ...fields } = video;
  if (reference === undefined) return fingerprintOfFields(fields);
  // Equal bytes have equal base64; the type is read from the bytes.
  return fingerprintOfFields({ ...fields, input_reference: await sha256Of(reference.data) });
}

export function fingerprintOfFields(fields: object): Promise<Sha256Hex> {
  return sha256Of(canonicalJson(fields));
}

function sha256Of(text: string): Promise<Sha256Hex> {
  // Not copied, although the types leave open what buffer the bytes live in: a reference may be 28 MB.
  return sha256Hex(new TextEncoder().encode(text) as Uint8Array<ArrayBuffer>);
}
