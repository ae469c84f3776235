/** An account with exactly what one video costs, and what becomes of that: everything by the public HTTP API. */
import type { z } from "zod";
import { AdminAccount, AdminGrant, AdminKey } from "#protocol/admin.ts";
import { CreditBalance, CreditGrantList, CreditTransactionList, VideoEstimate } from "#protocol/credits.ts";
import type { TransactionType } from "#protocol/credits.ts";
import { Video } from "#protocol/video.ts";
import { milliCreditsOf } from "#protocol/unit.ts";
import { until } from "./product.ts";
import type { Product } from "./product.ts";

const WAIT_MS = 60_000;

export interface Outcome {
  readonly pays: string;
  readonly rest: string;
}

export class Payer {
  readonly id: string;
  readonly key: string;
  readonly #product: Product;
  /** The grant that pays, and the video it pays. */
  grant = "";
  video = "";

  static async of(product: Product, tier: string): Promise<Payer> {
    const account = AdminAccount.parse(await product.admin("POST", "/accounts", { name: "payer", tier }));
    const key = AdminKey.parse(await product.admin("POST", `/accounts/${account.id}/keys`));
    return new Payer(product, account.id, key.api_key ?? "");
  }

  private constructor(product: Product, id: string, key: string) {
    this.#product = product;
    this.id = id;
    this.key = key;
  }

  /** Grants what the estimate says, for so long, and creates the video. */
  async create(video: object, grantMs: number | null = null): Promise<void> {
    const { price } = await this.#call("POST", "/videos/estimate", VideoEstimate, video);
    const ends = grantMs === null ? {} : { expires_at: new Date(Date.now() + grantMs).toISOString() };
    const grant = { account_id: this.id, amount: price, ...ends };
    this.grant = AdminGrant.parse(await this.#product.admin("POST", "/grants", grant)).id;
    this.video = (await this.#call("POST", "/videos", Video, video)).id;
  }

  read(): Promise<Video> {
    return this.#call("GET", `/videos/${this.video}`, Video);
  }

  cancel(): Promise<Video> {
    return this.#call("POST", `/videos/${this.video}/cancel`, Video);
  }

  when(what: string, holds: (video: Video) => boolean): Promise<Video> {
    return until(what, WAIT_MS, async () => {
      const video = await this.read();
      return holds(video) && video;
    });
  }

  over(): Promise<Video> {
    return this.when("it is over", ({ status }) => status === "completed" || status === "failed");
  }

  async grantHas(status: "expired" | "voided"): Promise<void> {
    await until(`the grant has ${status}`, WAIT_MS, async () => {
      const { data } = await this.#call("GET", "/credits/grants", CreditGrantList);
      return data.some((grant) => grant.id === this.grant && grant.status === status);
    });
  }

  /** Where the hold went, by the account's own transactions; its books are checked on the way. */
  async outcome(): Promise<Outcome> {
    const { usage } = await this.read();
    const [reserved, charged] = [milliCreditsOf(usage.reserved), milliCreditsOf(usage.charged)];
    const [balance, grants, transactions] = [
      await this.#call("GET", "/credits/balance", CreditBalance),
      await this.#call("GET", "/credits/grants", CreditGrantList),
      await this.#call("GET", "/credits/transactions", CreditTransactionList),
    ];
    const types = transactions.data.flatMap(({ type, video_id: of }) => (of === this.video ? [type] : []));
    const rest = restOf(new Set(types));
    const back = rest === "goes back" || rest === "is made good" ? reserved - charged : 0n;
    const faults = [
      [usage.held, balance.held, usage.refunded].every((amount) => amount === "0") || "something is still held",
      milliCreditsOf(usage.released) === reserved - charged || "charged and released are not what was reserved",
      usage.lots.length === 1 && usage.lots[0]?.grant_id === this.grant ? true : "another grant was held",
      milliCreditsOf(balance.available) === back || `${balance.available} credits are free`,
      grants.data.every((grant) => isWhole(grant)) || "a grant's credits do not add up",
      charged === 0n || types.includes("captured") || "a charge without a transaction",
    ].filter((fault) => fault !== true);
    if (faults.length > 0) throw new Error(`${faults.join("; ")}: ${JSON.stringify({ usage, balance, types })}`);
    return { pays: shareOf(charged, reserved), rest };
  }

  async #call<Schema extends z.ZodType>(
    method: string,
    path: string,
    schema: Schema,
    body?: object,
  ): Promise<z.infer<Schema>> {
    const text = await until(`${method} ${path} is answered`, WAIT_MS, async () => {
      const response = await fetch(`${this.#product.dev.edge_url}/v1${path}`, {
        method,
        headers: { authorization: `Bearer ${this.key}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const said = await response.text();
      // Shed by a busy machine, and nothing was done: asked again, as any client would.
      if (response.status === 503) return null;
      if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${said}`);
      return said;
    });
    return schema.parse(JSON.parse(text));
  }
}

function restOf(types: ReadonlySet<TransactionType>): string {
  if (types.has("released")) return "goes back";
  if (types.has("make_good")) return "is made good";
  if (types.has("expired")) return "is forfeited";
  return types.has("voided") ? "is voided" : "nothing is left";
}

function shareOf(charged: bigint, reserved: bigint): string {
  if (charged === 0n) return "nothing";
  return charged === reserved ? "the price" : `${(charged * 100n) / reserved} %`;
}

function isWhole(grant: CreditGrantList["data"][number]): boolean {
  const { remaining, held, consumed, expired, voided } = grant;
  const parts = [remaining, held, consumed, expired, voided].map(milliCreditsOf);
  return parts.reduce((sum, part) => sum + part, 0n) === milliCreditsOf(grant.amount);
}
