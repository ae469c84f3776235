/** The secrets of the simulated runners: all have joined before the story begins. */
import { createHash } from "node:crypto";
import { RunnerId, Sha256Hex } from "#protocol/id.ts";

const known = new Map<Sha256Hex, RunnerId>();

export function secretOf(name: string): string {
  const secret = `csr_${sha256(name)}`;
  known.set(sha256(secret), RunnerId.parse(name));
  return secret;
}

/** By the hash of the secret. */
export const knownSecrets: ReadonlyMap<Sha256Hex, RunnerId> = known;

function sha256(text: string): Sha256Hex {
  return Sha256Hex.parse(createHash("sha256").update(text).digest("hex"));
}
