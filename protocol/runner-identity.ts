/**
 * How a runner proves who it is. The operator makes a **join token** (single use, an hour at most, shown once); the runner
 * mints its own **secret**, keeps it, and trades the token for the acceptance of its hash (`POST /runner/v1/join`). From then
 * on it dials with the secret as its bearer token, and the secret alone says which runner it is.
 *
 * The control plane keeps hashes only. The secret is the runner's, so a join whose answer was lost is simply sent again.
 */
import { z } from "zod";
import { RunnerId, Sha256Hex } from "./id.ts";

export const RUNNER_PATH = "/runner/v1";
export const RUNNER_JOIN_PATH = "/runner/v1/join";

/** 256 random bits; prefix and length tell the two apart, also in a leak. */
export const RUNNER_SECRET_BYTES = 32;
export const JoinToken = z.string().regex(/^csj_[0-9a-f]{64}$/, "must be a join token (csj_…)");
export const RunnerSecret = z.string().regex(/^csr_[0-9a-f]{64}$/, "must be a runner's secret (csr_…)");

export const JOIN_TOKEN_SECONDS_MAX = 3_600;

export const JoinRunner = z.strictObject({ token: JoinToken, runner: RunnerId, secret_sha256: Sha256Hex });
export type JoinRunner = z.infer<typeof JoinRunner>;
export const RunnerJoined = z.object({ runner: RunnerId });

/** `runner`: the only name that may join with it, also one that has a secret already. Without: any name that has none. */
export const CreateRunnerToken = z.strictObject({
  runner: RunnerId.optional(),
  expires_in: z.int().min(1).max(JOIN_TOKEN_SECONDS_MAX).default(JOIN_TOKEN_SECONDS_MAX),
});

/** `token` is in this answer only. */
export const AdminRunnerToken = z.object({
  id: z.string(),
  object: z.literal("runner_join_token"),
  token: JoinToken,
  runner: RunnerId.nullable(),
  expires_at: z.int(),
});
