/** As `control-plane/db/runner-identity.ts`, for runners that have joined. */
import type { RunnerSecretRow } from "#control-plane/db/runner-identity.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import type { RunnerId, Sha256Hex } from "#protocol/id.ts";
import { statement } from "../postgres/client.ts";
import { knownSecrets } from "../world/runner-secret.ts";

export function runnerOfSecret(sql: Sql, secretSha256: Sha256Hex): Promise<RunnerId | null> {
  return statement(sql, "runnerOfSecret", () => knownSecrets.get(secretSha256) ?? null);
}

export function standingSecrets(sql: Sql): Promise<readonly RunnerSecretRow[]> {
  return statement(sql, "standingSecrets", () =>
    [...knownSecrets].map(([secretSha256, runnerId]) => ({ runnerId, secretSha256 })),
  );
}

function notPlayed(): never {
  throw new Error("no runner joins or is revoked in the simulation");
}
export const insertJoinToken = notPlayed;
export const lockJoinToken = notPlayed;
export const spendJoinToken = notPlayed;
export const secretOfRunner = notPlayed;
export const saveSecret = notPlayed;
export const deleteSecret = notPlayed;
