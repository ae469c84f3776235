/**
 * Replays an account's journal in the calculator, and says where the two disagree.
 *
 * The calculator's seconds are ticks here: every occasion of the journal gets one of its own, in the order of the entries, and
 * every start and end of a grant a place between them, before the first occasion at or after it. So the replay does not depend
 * on how fine a clock is.
 */
import { GpuCreditCalculator } from "#control-plane/core/credit-calculator.ts";
import type { GrantRecord } from "#control-plane/core/ledger.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { transactionsOf } from "#control-plane/db/ledger-read.ts";
import type { JournalRow } from "#control-plane/db/ledger-read.ts";
import type { AccountId } from "#protocol/id.ts";

/** Ticks between two occasions. */
const GAP = 1_000_000;
/** Make-goods outlive every replay. */
const MAKE_GOOD_TICKS = 10 ** 12;
const ENTRIES_MAX = 10_000_000;

interface GrantState extends GrantRecord {
  readonly amount: bigint;
  readonly held: bigint;
  readonly consumed: bigint;
  readonly expired: bigint;
  readonly voided: bigint;
}

/** Entries that were written together; a void that found nothing free has none. */
interface Occasion {
  readonly at: Date;
  readonly entries: readonly JournalRow[];
  readonly voids: string | null;
}

export interface Replay {
  /** What differs; empty if the ledger and the calculator agree on every credit. */
  readonly differences: readonly string[];
  readonly occasions: number;
}

export async function replayJournal(sql: Sql, account: AccountId): Promise<Replay> {
  const [entries, grants, clock] = await Promise.all([
    transactionsOf(sql, account, { limit: ENTRIES_MAX, order: "asc" }),
    sql<GrantState[]>`select * from credit_grant where account_id = ${account}`,
    sql<{ at: Date }[]>`select date_trunc('milliseconds', clock_timestamp()) as at`,
  ]);
  const nowAt = clock[0]?.at ?? new Date(0);
  const occasions = occasionsOf(entries, grants);
  const ticks = new Ticks([...occasions.map(({ at }) => at), nowAt], grants);
  const calculator = new GpuCreditCalculator({ makeGoodSeconds: MAKE_GOOD_TICKS });
  const byId = new Map(grants.map((grant) => [grant.id, grant]));
  const differences: string[] = [];
  occasions.forEach((occasion, n) => {
    for (const refused of play(calculator, occasion, ticks.ofOccasion(n), { byId, ticks })) differences.push(refused);
  });
  const end = ticks.ofOccasion(occasions.length);
  return { differences: [...differences, ...compare(calculator, end, grants, nowAt)], occasions: occasions.length };
}

function occasionsOf(entries: readonly JournalRow[], grants: readonly GrantState[]): readonly Occasion[] {
  const groups: JournalRow[][] = [];
  for (const entry of entries) {
    const last = groups.at(-1)?.[0];
    // A grant's expiry is the clock's doing: the calculator knows it by itself.
    if (entry.kind === "expired" && entry.jobId === null) continue;
    if (last !== undefined && keyOf(last) === keyOf(entry)) groups.at(-1)?.push(entry);
    else groups.push([entry]);
  }
  const occasions: Occasion[] = groups.map((group) => ({
    at: group[0]?.at ?? new Date(0),
    entries: group,
    voids: null,
  }));
  const told = new Set(
    entries.filter((entry) => entry.kind === "voided" && entry.jobId === null).map(({ grantId }) => grantId),
  );
  // A void that found nothing free shows in what holds give back later: it comes before that, and before what is later anyway.
  for (const { id, voidedAt } of grants) {
    if (voidedAt === null || told.has(id)) continue;
    const place = occasions.findIndex(
      ({ at, entries: some }) => at > voidedAt || some.some((e) => e.kind === "voided" && e.grantId === id),
    );
    occasions.splice(place === -1 ? occasions.length : place, 0, { at: voidedAt, entries: [], voids: id });
  }
  return occasions;
}

/** A hold and its settlement are two occasions of one job. */
function keyOf({ actId, jobId, kind }: JournalRow): string {
  return `${actId} ${jobId} ${kind === "held"}`;
}

class Ticks {
  readonly #tickOf = new Map<number, number>();

  constructor(occasions: readonly Date[], grants: readonly GrantState[]) {
    const moments = grants.flatMap(({ effectiveAt, expiresAt }) => [
      effectiveAt,
      ...(expiresAt === null ? [] : [expiresAt]),
    ]);
    const distinct = [...new Set(moments.map((moment) => moment.getTime()))].toSorted((a, b) => a - b);
    let next = 0;
    let place = 0;
    for (const moment of distinct) {
      while (next < occasions.length && (occasions[next]?.getTime() ?? 0) < moment) {
        next++;
        place = 0;
      }
      this.#tickOf.set(moment, next * GAP + ++place);
    }
  }

  ofOccasion(n: number): number {
    return (n + 1) * GAP;
  }

  ofMoment(moment: Date): number {
    const tick = this.#tickOf.get(moment.getTime());
    if (tick === undefined) throw new Error("every moment of a grant has a tick");
    return tick;
  }
}

interface Terms {
  readonly byId: ReadonlyMap<string, GrantState>;
  readonly ticks: Ticks;
}

/** What the calculator refused of it. */
function play(
  calculator: GpuCreditCalculator,
  { entries, voids }: Occasion,
  at: number,
  { byId, ticks }: Terms,
): readonly string[] {
  if (voids !== null) return told(calculator.voidGrant({ grant: voids, at }), `void of ${voids}`);
  const [first] = entries;
  if (first === undefined) return [];
  const { jobId: job } = first;
  const sum = (kind: JournalRow["kind"]) =>
    entries.filter((entry) => entry.kind === kind).reduce((total, { amount }) => total + amount, 0n);
  if (first.fromBook === "issued") {
    const grant = byId.get(first.grantId);
    if (grant === undefined) return [`grant ${first.grantId} is gone`];
    const { id, amount, category, priority, effectiveAt, expiresAt } = grant;
    const starts = Math.max(at, ticks.ofMoment(effectiveAt));
    const terms = { id, amount, category, priority, at: starts };
    const ends = expiresAt === null ? null : Math.max(starts, ticks.ofMoment(expiresAt));
    return told(calculator.grant({ ...terms, expiresAt: ends }), `grant ${id}`);
  }
  if (first.kind === "adjusted")
    return told(calculator.use({ at, amount: sum("adjusted") }), `use of ${sum("adjusted")}`);
  if (first.kind === "voided" && job === null) {
    return told(calculator.voidGrant({ grant: first.grantId, at }), `void of ${first.grantId}`);
  }
  if (job === null) return [`entry ${first.id} cannot be replayed`];
  if (first.kind === "held") return told(calculator.hold({ job, at, amount: sum("held") }), `hold of ${job}`);
  const captured = sum("captured");
  if (captured > 0n) calculator.capture({ job, at, amount: captured });
  if (sum("released") + sum("expired") + sum("voided") === 0n) return [];
  return told(calculator.release({ job, at, fault: sum("make_good") > 0n ? "platform" : "user" }), `release of ${job}`);
}

function told({ accepted }: { readonly accepted: boolean }, what: string): readonly string[] {
  return accepted ? [] : [`the calculator refused the ${what}`];
}

function compare(
  calculator: GpuCreditCalculator,
  end: number,
  grants: readonly GrantState[],
  nowAt: Date,
): readonly string[] {
  const theirs = new Map(calculator.statement(end).grants.map(({ id, ...books }) => [id, books]));
  return grants.flatMap((grant) => {
    const { id, amount, available, held, consumed, expired, voided, expiresAt, effectiveAt } = grant;
    // It has not started: the calculator does not list it.
    if (effectiveAt > nowAt && voided === 0n)
      return available === amount ? [] : [`grant ${id} was spent before its start`];
    // What nobody has swept yet is over all the same.
    const late = expiresAt !== null && expiresAt <= nowAt ? available : 0n;
    const ours = { amount, available: available - late, held, consumed, expired: expired + late, voided };
    const other = theirs.get(id);
    const isSame =
      other !== undefined && Object.entries(ours).every(([book, value]) => other[book as "amount"] === value);
    return isSame ? [] : [`grant ${id}: ledger ${text(ours)}, calculator ${text(other)}`];
  });
}

function text(value: unknown): string {
  return (
    JSON.stringify(value, (_key, field: unknown) => (typeof field === "bigint" ? String(field) : field)) ?? "nothing"
  );
}
