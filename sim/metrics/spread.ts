/**
 * How unevenly equals are served, at its worst over the run. Equals are accounts of one tier that may run a job now and wait
 * for the same classes; service is the charge dispatched to them.
 *
 * `spread` (P1) is the largest lead of the last served over the least served of its equals, in virtual service: what was
 * dispatched, lifted to the tier's virtual time (the start of its latest dispatch) whenever an account becomes eligible
 * again. `joined` (P2) is the largest difference in real service of two equals since both have been eligible without a
 * break, less what the better served was owed when the other came: while no gang for its class was free, others were
 * served past it, and it makes up for that before newcomers. Both are divided by the largest charge of a job and what the
 * policy may serve before its turn: in one tier the weight cancels out. A start-tag scheduler keeps P1 at most 1 and P2 at
 * most 2. `strict` is P1 over the largest charge alone.
 */
import { Eligibility } from "./eligibility.ts";
import type { Standing } from "./eligibility.ts";
import { isAttemptEnd } from "../log-record.ts";
import type { RunLog } from "../log-record.ts";
import { MinHeap } from "../min-heap.ts";
import { round } from "./percentile.ts";

export interface Spread {
  readonly spread: number;
  readonly joined: number;
  readonly strict: number;
}

interface Member {
  virtual: number;
  /** Where it would stand without what it was charged before it last came back, and when that was. */
  floor: number;
  returnedAt: number;
  /** Charges since the account joined its group, newest last, with the order number of each. What is given back is taken off where it was charged. */
  dispatched: { readonly at: number; total: number }[];
  joinedAt: number;
  /** The tier's virtual time when it joined its group. */
  joinedVirtual: number;
  group: string | null;
}

/** All members of one group; the heap may hold stale entries, told by their key. */
interface Group {
  readonly members: Map<string, Member>;
  readonly least: MinHeap<string>;
}

export function spreadOf({ config, records }: RunLog): Spread {
  const largest = Math.max(0, ...records.map((record) => (record.event === "submitted" ? record.gpu_seconds : 0)));
  if (largest === 0) return { spread: 0, joined: 0, strict: 0 };
  const { skip_s: skipS = 0, weights } = config;
  const ledger = new SpreadLedger(new Eligibility(config), (tier) => largest + skipS * (weights[tier] ?? 0));
  for (const record of records) ledger.apply(record);
  return { spread: round(ledger.spread), joined: round(ledger.joined), strict: round(ledger.lead / largest) };
}

class SpreadLedger {
  /** Over the bound of the tier, and in GPU-seconds. */
  spread = 0;
  joined = 0;
  lead = 0;
  readonly #boundOf: (tier: string) => number;
  readonly #eligibility: Eligibility;
  readonly #members = new Map<string, Member>();
  readonly #groups = new Map<string, Group>();
  readonly #virtualOf = new Map<string, number>();
  readonly #chargedFor = new Map<string, { readonly at: number; readonly charge: number }>();
  #at = 0;

  constructor(eligibility: Eligibility, boundOf: (tier: string) => number) {
    this.#eligibility = eligibility;
    this.#boundOf = boundOf;
  }

  apply(record: RunLog["records"][number]): void {
    this.#at++;
    if (record.event === "placed") {
      this.#dispatch(record.account, record.tier, record.gpu_seconds);
      this.#chargedFor.set(record.job, { at: this.#at, charge: record.gpu_seconds });
    } else if (isAttemptEnd(record)) {
      const charged = this.#chargedFor.get(record.job);
      if (charged !== undefined) this.#giveBack(record.account, charged.at, charged.charge - record.gpu_seconds);
    }
    const standing = this.#eligibility.apply(record);
    if (standing !== null) this.#move(standing);
  }

  #dispatch(account: string, tier: string, charge: number): void {
    const member = this.#member(account);
    this.#virtualOf.set(tier, Math.max(this.#virtualOf.get(tier) ?? 0, member.virtual));
    member.virtual += charge;
    member.floor += charge;
    const total = (member.dispatched.at(-1)?.total ?? 0) + charge;
    member.dispatched.push({ at: this.#at, total });
    const group = member.group === null ? undefined : this.#groups.get(member.group);
    if (group === undefined || group.members.size < 2) return;
    group.least.push(member.virtual, account);
    const lead = member.virtual - this.#least(group);
    const bound = this.#boundOf(tier);
    this.lead = Math.max(this.lead, lead);
    this.spread = Math.max(this.spread, lead / bound);
    // A first dispatch leads by its own charge at most; only later ones need a look at everybody.
    if (member.dispatched.length === 1) this.joined = Math.max(this.joined, charge / bound);
    else this.#compare(member, group, bound);
  }

  #compare(member: Member, group: Group, bound: number): void {
    for (const other of group.members.values()) {
      if (other === member) continue;
      const later = member.joinedAt > other.joinedAt ? member : other;
      const served = serviceSince(member, later.joinedAt);
      const owed = Math.max(0, later.joinedVirtual - (member.virtual - served));
      this.joined = Math.max(this.joined, (served - owed - serviceSince(other, later.joinedAt)) / bound);
    }
  }

  #giveBack(account: string, chargedAt: number, charge: number): void {
    if (charge <= 0) return;
    const member = this.#member(account);
    // What is older than its return was forgotten as far as virtual time has passed it.
    const isOlder = chargedAt < member.returnedAt;
    member.virtual = isOlder ? Math.max(member.floor, member.virtual - charge) : member.virtual - charge;
    if (!isOlder) member.floor -= charge;
    if (chargedAt > member.joinedAt) {
      for (const entry of member.dispatched) if (entry.at >= chargedAt) entry.total -= charge;
    }
    const group = member.group === null ? undefined : this.#groups.get(member.group);
    group?.least.push(member.virtual, account);
  }

  #move({ account, tier, group }: Standing): void {
    const member = this.#member(account);
    if (member.group === group) return;
    if (member.group !== null) this.#groups.get(member.group)?.members.delete(account);
    if (group !== null) {
      // Only a return lifts; waiting for other classes than before is no return.
      if (member.group === null) this.#lift(member, this.#virtualOf.get(tier) ?? 0);
      const joined = this.#groups.getOrInsertComputed(group, () => ({ members: new Map(), least: new MinHeap() }));
      joined.members.set(account, member);
      joined.least.push(member.virtual, account);
      member.joinedAt = this.#at;
      member.joinedVirtual = this.#virtualOf.get(tier) ?? 0;
      member.dispatched = [];
    }
    member.group = group;
  }

  #lift(member: Member, virtual: number): void {
    member.virtual = Math.max(member.virtual, virtual);
    member.floor = virtual;
    member.returnedAt = this.#at;
  }

  #least(group: Group): number {
    for (let head = group.least.peek(); head !== null; head = group.least.peek()) {
      if (group.members.get(head.value)?.virtual === head.key) return head.key;
      group.least.pop();
    }
    return 0;
  }

  #member(account: string): Member {
    return this.#members.getOrInsertComputed(account, () => ({
      virtual: 0,
      dispatched: [],
      floor: 0,
      returnedAt: 0,
      joinedAt: 0,
      joinedVirtual: 0,
      group: null,
    }));
  }
}

function serviceSince({ dispatched }: Member, at: number): number {
  let low = 0;
  let high = dispatched.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((dispatched[middle]?.at ?? Infinity) <= at) low = middle + 1;
    else high = middle;
  }
  return (dispatched.at(-1)?.total ?? 0) - (dispatched[low - 1]?.total ?? 0);
}
