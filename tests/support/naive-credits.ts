/**
 * The credit account as a child would play it: every credit is a coin that lies somewhere, every second is played, and every
 * question plays the whole history again. Slow, and built on nothing that the calculator is built on.
 */
import type { ChosenPolicy, CreditStep } from "./credit-history.ts";

type Change = Exclude<CreditStep, { do: "query" }>;
type GrantStep = Extract<CreditStep, { do: "grant" }>;

interface Coin {
  readonly from: Pick<GrantStep, "id" | "at" | "expiresAt" | "priority" | "category">;
  place: "available" | "held" | "consumed" | "expired" | "voided";
  job: string;
  readonly rank: string;
}

/** How things lie once a second's calls were played. */
export interface Table {
  readonly balance: bigint | null;
  readonly debt: bigint;
  readonly grants: ReadonlyMap<string, Readonly<Record<"amount" | Coin["place"], bigint>>>;
  readonly holds: ReadonlyMap<string, bigint>;
  /** Could the running jobs pay this second in full? It is played after the picture was taken. */
  isPaid: boolean;
}

const CATEGORIES = ["promotional", "plan", "paid"];

export class NaiveCredits {
  readonly #policy: Required<ChosenPolicy>;
  #history: readonly Change[] = [];

  constructor(policy: Required<ChosenPolicy>) {
    this.#policy = policy;
  }

  play(step: Change): "accepted" | "refused" | "impossible" {
    if (!this.#isPossible(step)) return "impossible";
    const longer = [...this.#history, step];
    const lastAt = Math.max(...longer.map(({ at }) => at));
    if (!new Game(this.#policy, longer).playUntil(lastAt, null)) return "refused";
    this.#history = longer;
    return "accepted";
  }

  tables(until: number): readonly Table[] {
    const tables: Table[] = [];
    new Game(this.#policy, this.#history).playUntil(until, tables);
    return tables;
  }

  #isPossible(step: Change): boolean {
    if (step.do === "use") return true;
    if (step.do === "grant") {
      if (step.expiresAt !== null && step.expiresAt < step.at) return false;
      return !this.#history.some((other) => other.do === "grant" && other.id === step.id);
    }
    if (step.do === "voidGrant") {
      const grant = this.#history.find((other) => other.do === "grant" && other.id === step.grant);
      if (this.#history.some((other) => other.do === "voidGrant" && other.grant === step.grant)) return false;
      return grant?.do === "grant" && step.at >= grant.at && isGood(grant, step.at, this.#policy);
    }
    const own = this.#history.filter((other) => "job" in other && other.job === step.job);
    const kinds = own.map((other) => other.do);
    if (step.do === "hold") return !kinds.includes("hold");
    if (own.some((other) => other.at > step.at)) return false;
    const isRunning = kinds.lastIndexOf("startJob") > kinds.lastIndexOf("stopJob");
    if (step.do === "startJob") return !isRunning;
    if (step.do === "stopJob") return isRunning;
    if (!kinds.includes("hold") || kinds.includes("release")) return false;
    const left = own.reduce((left, other) => {
      if (other.do === "hold") return left + other.amount;
      return other.do === "capture" ? left - other.amount : left;
    }, 0n);
    return step.do === "capture" ? step.amount <= left : left > 0n;
  }
}

class Game {
  readonly #policy: Required<ChosenPolicy>;
  readonly #history: readonly Change[];
  /** In burn order. */
  readonly #coins: Coin[] = [];
  readonly #voided = new Set<string>();
  #running: { readonly job: string; readonly rate: number }[] = [];
  #debt = 0;
  #isPoisoned = false;
  #everybodyWasServed = true;

  constructor(policy: Required<ChosenPolicy>, history: readonly Change[]) {
    this.#policy = policy;
    this.#history = history;
  }

  /** Was everybody served who had been told so? Adds a picture of every second to `tables`. */
  playUntil(last: number, tables: Table[] | null): boolean {
    for (let second = 0; second <= last; second++) {
      for (const coin of this.#lying("available")) {
        if (!isGood(coin.from, second, this.#policy)) coin.place = "expired";
      }
      const calls = this.#history.filter(({ at }) => at === second);
      const grants = calls.filter((call) => call.do === "grant");
      for (const grant of grants) this.#mint(grant, Number(grant.amount), second);
      this.#repay();
      for (const call of calls) this.#call(call, second);
      const table = tables === null ? null : this.#look();
      for (const { rate } of this.#running) if (!this.#spend(rate) && table !== null) table.isPaid = false;
      if (table !== null) tables?.push(table);
    }
    return this.#everybodyWasServed;
  }

  #call(call: Change, second: number): void {
    if (call.do === "use" && !this.#spend(Number(call.amount)) && this.#policy.overdraw === "reject") {
      this.#everybodyWasServed = false;
    }
    if (call.do === "voidGrant") {
      this.#voided.add(call.grant);
      for (const coin of this.#lying("available")) if (coin.from.id === call.grant) coin.place = "voided";
    }
    if (call.do === "startJob") this.#running.push({ job: call.job, rate: Number(call.ratePerSecond) });
    if (call.do === "stopJob") this.#running = this.#running.filter(({ job }) => job !== call.job);
    if (call.do === "hold") {
      const coins = this.#lying("available").slice(0, Number(call.amount));
      if (this.#isPoisoned || coins.length < Number(call.amount)) this.#everybodyWasServed = false;
      for (const coin of coins) Object.assign(coin, { place: "held", job: call.job });
    }
    if (call.do === "capture") {
      for (const coin of this.#heldBy(call.job).slice(0, Number(call.amount))) coin.place = "consumed";
    }
    if (call.do === "release") this.#release(call.job, call.fault === "platform", second);
  }

  #release(job: string, isOurFault: boolean, second: number): void {
    const coins = this.#heldBy(job);
    const late: Coin[] = [];
    for (const coin of coins) {
      if (this.#voided.has(coin.from.id)) coin.place = "voided";
      else if (isGood(coin.from, second, this.#policy)) coin.place = "available";
      else {
        coin.place = "expired";
        late.push(coin);
      }
    }
    this.#repay();
    const [first] = late;
    if (first === undefined || !isOurFault) return;
    const expiresAt = second + this.#policy.makeGoodSeconds;
    this.#mint({ ...first.from, id: `make_good:${job}`, at: second, expiresAt }, late.length, second);
    this.#repay();
  }

  #mint(from: Coin["from"], count: number, second: number): void {
    const place = isGood(from, second, this.#policy) ? "available" : "expired";
    for (let n = 0; n < count; n++) this.#coins.push({ from, place, job: "", rank: rankOf(from) });
    this.#coins.sort((a, b) => (a.rank < b.rank ? -1 : a.rank > b.rank ? 1 : 0));
  }

  #repay(): void {
    for (const coin of this.#lying("available").slice(0, this.#debt)) {
      coin.place = "consumed";
      this.#debt--;
    }
  }

  /** False if there was not enough. */
  #spend(amount: number): boolean {
    if (this.#isPoisoned) return false;
    const coins = this.#lying("available").slice(0, amount);
    const missing = amount - coins.length;
    if (missing > 0 && this.#policy.overdraw === "reject") return false;
    if (missing > 0 && this.#policy.overdraw === "poison") {
      this.#isPoisoned = true;
      return false;
    }
    for (const coin of coins) coin.place = "consumed";
    if (this.#policy.overdraw === "debt") this.#debt += missing;
    return missing === 0;
  }

  #lying(place: Coin["place"]): Coin[] {
    return this.#coins.filter((coin) => coin.place === place);
  }

  #heldBy(job: string): Coin[] {
    return this.#lying("held").filter((coin) => coin.job === job);
  }

  #look(): Table {
    const grants = new Map<string, Record<"amount" | Coin["place"], bigint>>();
    const holds = new Map<string, bigint>();
    for (const coin of this.#coins) {
      const none = { amount: 0n, available: 0n, held: 0n, consumed: 0n, expired: 0n, voided: 0n };
      const figures = grants.get(coin.from.id) ?? none;
      figures.amount++;
      figures[coin.place]++;
      grants.set(coin.from.id, figures);
      if (coin.place === "held") holds.set(coin.job, (holds.get(coin.job) ?? 0n) + 1n);
    }
    const available = BigInt(this.#lying("available").length);
    const isNull = this.#isPoisoned || this.#debt > 0 || (available === 0n && this.#policy.empty === "null");
    return { balance: isNull ? null : available, debt: BigInt(this.#debt), grants, holds, isPaid: true };
  }
}

function isGood(grant: Coin["from"], second: number, policy: Required<ChosenPolicy>): boolean {
  if (grant.expiresAt === null) return true;
  return policy.end === "inclusive" ? second <= grant.expiresAt : second < grant.expiresAt;
}

/** Sorts as text; what never ends comes after everything that does. */
function rankOf({ priority = 50, expiresAt, category = "paid", at, id }: Coin["from"]): string {
  const numbers = [priority, expiresAt ?? 9999, CATEGORIES.indexOf(category), at];
  return [...numbers.map((number) => String(number).padStart(4, "0")), id].join(" ");
}
