/**
 * The ledger's invariants L1–L15 as SQL: each query answers with the rows that break its rule, at most so many. They read only;
 * run them in one snapshot (`inSnapshot`), or an entry that is written in between looks like a breach.
 */
import type { PendingQuery, Row } from "postgres";
import type { Sql, Transaction } from "./connect.ts";

/** Rows shown of one rule; one is enough to stop admission. */
export const BREACHES_PER_RULE_MAX = 20;
/** An audit reads the whole ledger; the session's own limit is for requests. */
const AUDIT_STATEMENT_MS = 50_000;
/** By so much may the clock step back, as after a failover, without honest rows counting as broken. */
const CLOCK_STEP = "5 seconds";

export interface Breach {
  readonly rule: string;
  /** What breaks it, with the ids and numbers to find it by. */
  readonly row: string;
}

interface Rule {
  readonly name: string;
  readonly says: string;
  /** Selects one column, `row`. */
  readonly broken: (tx: Transaction) => PendingQuery<Row[]>;
}

export const RULES: readonly Rule[] = [
  {
    name: "L1",
    says: "every credit of a grant is in one book, and no book is negative",
    broken: (tx) => tx`
      select format('grant %s: %s is not %s + %s + %s + %s + %s', id, amount, available, held, consumed, expired, voided) as row
      from credit_grant
      where amount <> available + held + consumed + expired + voided
        or least(amount, available, held, consumed, expired, voided) < 0`,
  },
  {
    name: "L2",
    says: "an account's grants add up to its journal, whose entries have two sides",
    broken: (tx) => tx`
      select format('account %s: grants have %s available and %s held, the journal %s and %s',
        account_id, g.available, g.held, e.available, e.held) as row
      from (
        select account_id, sum(available) as available, sum(held) as held from credit_grant group by account_id
      ) g full join (
        select account_id, ${into(tx, "available")} as available, ${into(tx, "held")} as held from credit_entry group by account_id
      ) e using (account_id)
      where (g.available, g.held) is distinct from (e.available, e.held)
      union all
      select format('entry %s goes from %s to %s', id, from_book, to_book) from credit_entry where from_book = to_book or amount <= 0`,
  },
  {
    name: "L3",
    says: "nothing is held or deducted before its grant starts or from its end on",
    broken: (tx) => tx`
      select format('entry %s: %s of grant %s at %s, which lives from %s to %s', e.id, e.kind, g.id, e.at, g.effective_at, g.expires_at) as row
      from credit_entry e join credit_grant g on g.id = e.grant_id
      where e.from_book = 'available' and e.to_book in ('held', 'consumed')
        and (e.at < date_trunc('milliseconds', g.effective_at) or e.at >= g.expires_at
          or e.at > g.voided_at + ${CLOCK_STEP}::interval)`,
  },
  {
    name: "L4",
    says: "no grant was ever overdrawn, at no entry of the journal",
    broken: (tx) => tx`
      select format('grant %s has %s available after entry %s', grant_id, available, id) as row
      from (
        select id, grant_id, ${into(tx, "available")} over (partition by grant_id order by id) as available,
          ${into(tx, "held")} over (partition by grant_id order by id) as held
        from credit_entry
      ) e
      where available < 0 or held < 0`,
  },
  {
    name: "L5",
    says: "a hold pins its amount once and resolves once, whole",
    broken: (tx) => tx`
      select format('hold of %s is %s: %s of %s, journal %s in and %s out', h.job_id, h.state, h.captured + h.released, h.amount, e.held, e.resolved) as row
      from credit_hold h left join (
        select job_id, coalesce(sum(amount) filter (where to_book = 'held'), 0) as held,
          coalesce(sum(amount) filter (where from_book = 'held'), 0) as resolved
        from credit_entry where job_id is not null group by job_id
      ) e on e.job_id = h.job_id
      where h.amount is distinct from e.held
        or e.resolved is distinct from case h.state when 'open' then 0 else h.amount end
        or (h.state = 'settled') <> (h.settled_at is not null)`,
  },
  {
    name: "L6",
    says: "an idempotency key acts once, and an act moves what it was asked to",
    broken: (tx) => tx`
      select format('account %s: %s acts under key %s', account_id, count(*), idempotency_key) as row
      from credit_act where idempotency_key is not null group by account_id, idempotency_key having count(*) > 1
      union all
      select format('act %s: asked to %s %s, moved %s', a.id, a.kind, a.request ->> 'amount', e.moved)
      from credit_act a left join (select act_id, sum(amount) as moved from credit_entry group by act_id) e on e.act_id = a.id
      where a.kind in ('grant', 'adjust') and e.moved is distinct from abs((a.request ->> 'amount')::bigint)`,
  },
  {
    name: "L7",
    says: "a video is charged at most what was held for it, which is its price",
    broken: (tx) => tx`
      select format('hold of %s: captured %s of %s, price %s', h.job_id, coalesce(e.captured, 0), h.amount, j.price) as row
      from credit_hold h join job j on j.id = h.job_id
      left join (select job_id, sum(amount) as captured from credit_entry where kind = 'captured' group by job_id) e on e.job_id = h.job_id
      where h.amount <> j.price or e.captured > h.amount or h.captured > h.amount`,
  },
  {
    name: "L8",
    says: "a hold takes its lots in burn order, each whole before the next",
    broken: (tx) => tx`
      select format('hold of %s: lot %s of grant %s is out of order, or left %s behind', job_id, rank, grant_id, left_behind) as row
      from (
        select l.job_id, l.rank, l.grant_id, a.available as left_behind,
          row_number() over (partition by l.job_id order by g.priority, coalesce(g.expires_at, 'infinity'), g.category, g.effective_at, g.id) as place,
          count(*) over (partition by l.job_id) as lots
        from credit_hold_lot l join credit_grant g on g.id = l.grant_id
        left join (
          select job_id, grant_id, kind, ${into(tx, "available")} over (partition by grant_id order by id) as available from credit_entry
        ) a on a.job_id = l.job_id and a.grant_id = l.grant_id and a.kind = 'held'
      ) l
      where rank <> place or (rank < lots and left_behind <> 0)`,
  },
  {
    name: "L9",
    says: "the running balance goes on from one entry to the next",
    broken: (tx) => tx`
      select format('entry %s of account %s: %s available after it, %s expected', id, account_id, available_after, expected) as row
      from (
        select id, account_id, available_after, ${into(tx, "available")} over (partition by account_id order by id) as expected
        from credit_entry
      ) e
      where available_after <> expected`,
  },
  {
    name: "L10",
    says: "entries of an account are in the order in which they happened",
    broken: (tx) => tx`
      select format('entry %s of account %s is from %s, the one before from %s', id, account_id, at, before) as row
      from (select id, account_id, at, lag(at) over (partition by account_id order by id) as before from credit_entry) e
      where at < before - ${CLOCK_STEP}::interval`,
  },
  {
    name: "L11",
    says: "nothing but an act makes a grant, and nothing changes its terms",
    broken: (tx) => tx`
      select format('grant %s: %s of priority %s until %s, asked for as %s', g.id, g.category, g.priority, g.expires_at, a.request) as row
      from credit_grant g left join credit_entry e on e.grant_id = g.id and e.from_book = 'issued'
      left join credit_act a on a.id = e.act_id and a.kind = 'grant'
      where e.id is null or e.amount <> g.amount or e.account_id <> g.account_id
        or (a.id is not null and (
          g.category::text <> a.request ->> 'category' or g.priority <> (a.request ->> 'priority')::int
          or g.expires_at is distinct from (a.request ->> 'expires_at')::timestamptz
          or g.effective_at <> coalesce((a.request ->> 'effective_at')::timestamptz, a.at)
        ))`,
  },
  {
    name: "L12",
    says: "a video that ended has no open hold, and an open hold has a video that lives",
    broken: (tx) => tx`
      select format('video %s is %s, its hold %s', j.id, j.state, coalesce(h.state::text, 'is missing')) as row
      from job j left join credit_hold h on h.job_id = j.id
      where (h.state = 'open') is distinct from (j.finished_at is null) or h.account_id <> j.account_id`,
  },
  {
    name: "L13",
    says: "grants, holds and lots are what the journal makes of them",
    broken: (tx) => tx`
      select format('grant %s: journal has %s, its columns %s', g.id, e.books, array[g.available, g.held, g.consumed, g.expired, g.voided]) as row
      from credit_grant g left join (
        select grant_id, array[${into(tx, "available")}, ${into(tx, "held")}, ${into(tx, "consumed")},
          ${into(tx, "expired")}, ${into(tx, "voided")}]::bigint[] as books
        from credit_entry group by grant_id
      ) e on e.grant_id = g.id
      where e.books is distinct from array[g.available, g.held, g.consumed, g.expired, g.voided]
      union all
      select format('lot of %s on grant %s: journal has %s, its columns %s', job_id, grant_id, e.sums, l.sums)
      from (select job_id, grant_id, array[amount, captured, refunded] as sums from credit_hold_lot) l full join (
        select job_id, grant_id, array[coalesce(sum(amount) filter (where kind = 'held'), 0),
          coalesce(sum(amount) filter (where kind = 'captured'), 0), coalesce(sum(amount) filter (where kind = 'refunded'), 0)]::bigint[] as sums
        from credit_entry where job_id is not null and kind <> 'make_good' group by job_id, grant_id
      ) e using (job_id, grant_id)
      where e.sums is distinct from l.sums
      union all
      select format('hold of %s: %s, its lots %s', h.job_id, array[h.amount, h.captured, h.refunded], l.sums)
      from credit_hold h left join (
        select job_id, array[sum(amount), sum(captured), sum(refunded)]::bigint[] as sums from credit_hold_lot group by job_id
      ) l on l.job_id = h.job_id
      where l.sums is distinct from array[h.amount, h.captured, h.refunded]`,
  },
  {
    name: "L14",
    says: "what comes back goes to the grant it came from, unless that has ended",
    broken: (tx) => tx`
      select format('entry %s: %s %s to grant %s at %s, which ended', e.id, e.kind, e.amount, g.id, e.at) as row
      from credit_entry e join credit_grant g on g.id = e.grant_id
      where e.kind in ('released', 'refunded') and e.to_book = 'available'
        and (e.at >= g.expires_at or e.at > least(g.expired_at, g.voided_at) + ${CLOCK_STEP}::interval)
      union all
      select format('entry %s: %s forfeited of grant %s at %s, before its end', e.id, e.amount, g.id, e.at)
      from credit_entry e join credit_grant g on g.id = e.grant_id
      where e.to_book = 'expired' and (g.expires_at is null or e.at < g.expires_at - ${CLOCK_STEP}::interval)
      union all
      select format('video %s: made good %s of %s forfeited', m.job_id, m.amount, coalesce(f.amount, 0))
      from credit_entry m left join (
        select job_id, sum(amount) as amount from credit_entry where kind = 'expired' and from_book = 'held' group by job_id
      ) f on f.job_id = m.job_id
      where m.kind = 'make_good' and m.amount is distinct from f.amount`,
  },
  {
    name: "L15",
    says: "a video is charged for the steps it kept, and its attempts do not overlap",
    broken: (tx) => tx`
      select format('video %s, %s at step %s of %s: charged %s of %s', j.id, j.state, j.steps_done, j.steps, h.captured, j.price) as row
      from job j join credit_hold h on h.job_id = j.id
      cross join lateral (
        select j.price * greatest(0, j.steps_done - j.first_step) / (coalesce(j.stop_after, j.steps) - j.first_step) as share
      ) done
      where h.captured <> case j.state
        when 'completed' then j.price
        when 'cancelled' then done.share
        when 'failed' then case when j.error_code = 'deadline_exceeded' and j.error_fault = 'user' then done.share else 0 end
        else 0
      end
      union all
      select format('video %s: attempt %s ended at %s, the next began at %s', job_id, epoch, ended_at, next)
      from (select *, lead(started_at) over (partition by job_id order by epoch) as next from attempt) a
      where next < ended_at - ${CLOCK_STEP}::interval or (ended_at is null and next is not null)`,
  },
];

/** What a book has gained less what it has given, as an aggregate or window over entries. */
function into(tx: Transaction, book: "available" | "held" | "consumed" | "expired" | "voided") {
  return tx`sum(case when to_book = ${book} then amount when from_book = ${book} then -amount else 0 end)`;
}

export async function breachesOf(tx: Transaction, rule: Rule): Promise<readonly Breach[]> {
  const rows = await tx<
    { row: string }[]
  >`select row from (${rule.broken(tx)}) as broken limit ${BREACHES_PER_RULE_MAX}`;
  return rows.map(({ row }) => ({ rule: rule.name, row }));
}

/** One snapshot for all rules, that can change nothing. */
export async function inSnapshot<Result>(sql: Sql, read: (tx: Transaction) => Promise<Result>): Promise<Result> {
  // `begin` unwraps arrays of promises from what `read` returned; no audit returns any.
  return (await sql.begin("isolation level repeatable read read only", async (tx) => {
    await tx`select set_config('statement_timeout', ${String(AUDIT_STATEMENT_MS)}, true)`;
    return read(tx);
  })) as Result;
}

export async function saveAudit(tx: Transaction, epoch: number, breaches: readonly Breach[]): Promise<void> {
  await tx`
    insert into ledger_audit (singleton, epoch, breaches, at)
    values (true, ${epoch}, ${tx.json(breaches.map((breach) => ({ ...breach })))}, clock_timestamp())
    on conflict (singleton) do update set epoch = excluded.epoch, breaches = excluded.breaches, at = excluded.at`;
}

export async function countEntries(tx: Transaction): Promise<number> {
  const [row] = await tx<{ count: number }[]>`select count(*)::int as count from credit_entry`;
  return row?.count ?? 0;
}
