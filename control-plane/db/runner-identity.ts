/** Join tokens and secrets of runners, by their hashes. */
import type { RunnerId, Sha256Hex } from "#protocol/id.ts";
import type { Sql, Transaction } from "./connect.ts";

/** Tokens that ended are kept this long, to tell how a runner joined. */
const TOKENS_KEPT = "30 days";

export interface JoinTokenRow {
  readonly id: string;
  readonly runnerId: RunnerId | null;
  readonly expiresAt: Date;
  readonly expired: boolean;
  readonly usedBy: RunnerId | null;
}

export interface RunnerSecretRow {
  readonly runnerId: RunnerId;
  readonly secretSha256: Sha256Hex;
}

export async function insertJoinToken(
  tx: Transaction,
  token: { readonly sha256: Sha256Hex; readonly runner: RunnerId | null; readonly seconds: number },
): Promise<JoinTokenRow> {
  const [row] = await tx<JoinTokenRow[]>`
    with old as (delete from runner_join_token where expires_at < now() - ${TOKENS_KEPT}::interval)
    insert into runner_join_token (id, token_sha256, runner_id, expires_at)
    values ('rjt_' || replace(uuidv7()::text, '-', ''), ${token.sha256}, ${token.runner}, now() + make_interval(secs => ${token.seconds}))
    returning id, runner_id, expires_at, false as expired, used_by`;
  if (row === undefined) throw new Error("an insert returns its row");
  return row;
}

/** Locked until the transaction ends: a token is used once, also by two runners at a time. */
export async function lockJoinToken(tx: Transaction, sha256: Sha256Hex): Promise<JoinTokenRow | null> {
  const [row] = await tx<JoinTokenRow[]>`
    select id, runner_id, expires_at, expires_at <= clock_timestamp() as expired, used_by
    from runner_join_token where token_sha256 = ${sha256} for update`;
  return row ?? null;
}

export async function spendJoinToken(tx: Transaction, id: string, runner: RunnerId): Promise<void> {
  await tx`update runner_join_token set used_at = now(), used_by = ${runner} where id = ${id} and used_at is null`;
}

export async function secretOfRunner(tx: Transaction, runner: RunnerId): Promise<Sha256Hex | null> {
  const [row] = await tx<RunnerSecretRow[]>`
    select runner_id, secret_sha256 from runner_secret where runner_id = ${runner} for update`;
  return row?.secretSha256 ?? null;
}

/** Replaces the runner's secret. False if another runner has this very one, which none that is random has. */
export async function saveSecret(
  tx: Transaction,
  secret: RunnerSecretRow & { readonly tokenId: string; readonly mayReplace: boolean },
): Promise<boolean> {
  const { runnerId, secretSha256, tokenId, mayReplace } = secret;
  const rows = await tx`
    insert into runner_secret (runner_id, secret_sha256, token_id)
    select ${runnerId}, ${secretSha256}, ${tokenId}
    where not exists (select 1 from runner_secret where secret_sha256 = ${secretSha256} and runner_id <> ${runnerId})
    on conflict (runner_id) do update set secret_sha256 = excluded.secret_sha256, token_id = excluded.token_id, joined_at = now()
      where ${mayReplace}
    returning 1`;
  return rows.length === 1;
}

/** False if it had none. */
export async function deleteSecret(tx: Transaction, runner: RunnerId): Promise<boolean> {
  const rows = await tx`delete from runner_secret where runner_id = ${runner} returning 1`;
  return rows.length === 1;
}

/** Whose secret this is; null if it is nobody's, or nobody's any more. */
export async function runnerOfSecret(sql: Sql, secretSha256: Sha256Hex): Promise<RunnerId | null> {
  const [row] = await sql<RunnerSecretRow[]>`
    select runner_id, secret_sha256 from runner_secret where secret_sha256 = ${secretSha256}`;
  return row?.runnerId ?? null;
}

export async function standingSecrets(sql: Sql): Promise<readonly RunnerSecretRow[]> {
  return sql<RunnerSecretRow[]>`select runner_id, secret_sha256 from runner_secret`;
}
