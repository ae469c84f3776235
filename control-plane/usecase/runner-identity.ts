/** Which runners are trusted: join tokens, the one secret of each runner, and the end of a secret. */
import { createHash } from "node:crypto";
import type { Sql } from "#control-plane/db/connect.ts";
import { postTermsChanged } from "#control-plane/db/jobs.ts";
import {
  deleteSecret,
  insertJoinToken,
  lockJoinToken,
  runnerOfSecret,
  saveSecret,
  secretOfRunner,
  spendJoinToken,
  standingSecrets,
} from "#control-plane/db/runner-identity.ts";
import { inTransaction } from "#control-plane/db/transaction.ts";
import type { Refusal } from "#protocol/error.ts";
import { Sha256Hex } from "#protocol/id.ts";
import type { RunnerId } from "#protocol/id.ts";
import { JoinToken, RUNNER_SECRET_BYTES, RunnerSecret } from "#protocol/runner-identity.ts";
import type { AdminRunnerToken, CreateRunnerToken, JoinRunner } from "#protocol/runner-identity.ts";
import type { z } from "zod";
import { record } from "./admin-audit.ts";
import type { Operator } from "./admin-audit.ts";
import { answer, refuse, secondsOf } from "./admin-answer.ts";
import type { Answer } from "./admin-answer.ts";

/** A runner as its secret names it. A new secret makes another credential of the same runner. */
export interface RunnerCredential {
  readonly runner: RunnerId;
  readonly secretSha256: Sha256Hex;
}

/** One answer for every bad token: it says nothing about which tokens there are. */
const BAD_TOKEN: Refusal = {
  code: "invalid_api_key",
  message: "The join token is unknown, expired, used, or made for another runner.",
};

export function issueJoinToken(
  sql: Sql,
  by: Operator,
  wanted: z.infer<typeof CreateRunnerToken>,
  randomBytes: (count: number) => Uint8Array,
): Promise<Answer<z.infer<typeof AdminRunnerToken>>> {
  const token = JoinToken.parse(`csj_${Buffer.from(randomBytes(RUNNER_SECRET_BYTES)).toString("hex")}`);
  return inTransaction(sql, async (tx) => {
    const runner = wanted.runner ?? null;
    const row = await insertJoinToken(tx, { sha256: sha256(token), runner, seconds: wanted.expires_in });
    const changes = { runner, expires_at: row.expiresAt.toISOString() };
    await record(tx, by, { act: "runner_token.create", target: row.id, changes });
    const expires_at = secondsOf(row.expiresAt);
    return answer({ id: row.id, object: "runner_join_token", token, runner, expires_at } as const);
  });
}

/**
 * Accepts a runner's secret for a token. The same call again is answered as the first time, so a lost answer costs nothing;
 * a secret that was revoked meanwhile does not come back by it.
 */
export function joinRunner(
  sql: Sql,
  requestId: string,
  { token, runner, secret_sha256: secretSha256 }: JoinRunner,
): Promise<Answer<{ readonly runner: RunnerId }>> {
  return inTransaction(sql, async (tx) => {
    const known = await lockJoinToken(tx, sha256(token));
    if (known === null) return refuse(BAD_TOKEN);
    const standing = await secretOfRunner(tx, runner);
    if (known.usedBy === runner && standing === secretSha256) return answer({ runner });
    const mine = known.runnerId === null || known.runnerId === runner;
    if (known.usedBy !== null || known.expired || !mine) return refuse(BAD_TOKEN);
    const mayReplace = known.runnerId === runner;
    if (!(await saveSecret(tx, { runnerId: runner, secretSha256, tokenId: known.id, mayReplace }))) {
      const message = `Invalid 'runner': '${runner}' has a secret; only a token made for it may give it another.`;
      return refuse({ code: "invalid_value", param: "runner", message });
    }
    await spendJoinToken(tx, known.id, runner);
    // Whoever still speaks with the secret before is cut off.
    await postTermsChanged(tx);
    const changes = { secret_sha256: secretSha256, replaced: standing !== null };
    await record(tx, { actor: known.id, requestId }, { act: "runner.join", target: runner, changes });
    return answer({ runner });
  });
}

/** The kill switch: from the commit on the runner cannot dial, and the leader cuts it off and takes its leases back. */
export function revokeRunner(sql: Sql, by: Operator, runner: RunnerId): Promise<Answer<{ readonly id: RunnerId }>> {
  return inTransaction(sql, async (tx) => {
    if (!(await deleteSecret(tx, runner)))
      return refuse({ code: "not_found", message: "No such runner has a secret." });
    await postTermsChanged(tx);
    await record(tx, by, { act: "runner.revoke", target: runner });
    return answer({ id: runner });
  });
}

/** Who dials, by the header `authorization`; null for whoever may not. */
export async function identifyRunner(sql: Sql, authorization: string | undefined): Promise<RunnerCredential | null> {
  const secret = RunnerSecret.safeParse(/^Bearer (\S+)$/.exec(authorization ?? "")?.[1]);
  if (!secret.success) return null;
  const secretSha256 = sha256(secret.data);
  const runner = await runnerOfSecret(sql, secretSha256);
  return runner === null ? null : { runner, secretSha256 };
}

export async function isTrusted(sql: Sql, { runner, secretSha256 }: RunnerCredential): Promise<boolean> {
  return (await runnerOfSecret(sql, secretSha256)) === runner;
}

/** The secret of every runner that may work. */
export async function trustedRunners(sql: Sql): Promise<ReadonlyMap<RunnerId, Sha256Hex>> {
  return new Map((await standingSecrets(sql)).map(({ runnerId, secretSha256 }) => [runnerId, secretSha256]));
}

function sha256(text: string): Sha256Hex {
  return Sha256Hex.parse(createHash("sha256").update(text).digest("hex"));
}
