/**
 * Who schedules: one lease row with an epoch. Every scheduling transaction calls `assertLeader` first; its share lock
 * makes a takeover wait for the commit, and a commit of the old leader find a newer epoch.
 */
import type { Sql, Transaction } from "./connect.ts";

/** Thrown out of a scheduling transaction of a replica that leads no more. */
export class NotLeaderError extends Error {
  override readonly name = "NotLeaderError";
}

/** Becomes leader if nobody is, or the lease ran out; null otherwise. */
export async function takeLeadership(
  sql: Sql,
  holder: string,
  url: string | null,
  leaseMs: number,
): Promise<number | null> {
  const [row] = await sql<{ epoch: number }[]>`
    insert into leader (singleton, epoch, holder, url, expires_at)
    values (true, 1, ${holder}, ${url}, clock_timestamp() + make_interval(secs => ${leaseMs / 1_000}))
    on conflict (singleton) do update set
      epoch = leader.epoch + 1, holder = excluded.holder, url = excluded.url, expires_at = excluded.expires_at
      where leader.expires_at < clock_timestamp()
    returning epoch`;
  return row?.epoch ?? null;
}

export interface LeaseSeen {
  /** Where the present leader is reached; null if nobody leads, or it does not say. */
  readonly url: string | null;
  readonly free: boolean;
}

export async function seeLeadership(sql: Sql): Promise<LeaseSeen> {
  const [row] = await sql<{ url: string | null; held: boolean }[]>`
    select url, expires_at > clock_timestamp() as held from leader`;
  return row?.held === true ? { url: row.url, free: false } : { url: null, free: true };
}

/** Milliseconds since 1970, by the database's clock. */
export async function serverTime(sql: Sql): Promise<number> {
  const [row] = await sql<{ at: Date }[]>`select clock_timestamp() as at`;
  return row?.at.getTime() ?? 0;
}

export async function renewLeadership(sql: Sql, epoch: number, leaseMs: number): Promise<boolean> {
  const rows = await sql`
    update leader set expires_at = clock_timestamp() + make_interval(secs => ${leaseMs / 1_000})
    where epoch = ${epoch} and expires_at > clock_timestamp() returning 1`;
  return rows.length === 1;
}

export async function resignLeadership(sql: Sql, epoch: number): Promise<void> {
  await sql`update leader set expires_at = clock_timestamp() where epoch = ${epoch}`;
}

export async function assertLeader(tx: Transaction, epoch: number): Promise<void> {
  const rows = await tx`select 1 from leader where epoch = ${epoch} and expires_at > clock_timestamp() for share`;
  if (rows.length === 0) throw new NotLeaderError(`epoch ${epoch} leads no more`);
}
