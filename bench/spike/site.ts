/** The stack under load: accounts, what its tables say, what its parts use. */
import { fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type OpenAI from "openai";
import { until } from "#tests/support/product.ts";
import type { Product } from "#tests/support/product.ts";
import type { Plan, Told } from "./plan.ts";
import { usageOf } from "./part-usage.ts";
import type { Usage } from "./part-usage.ts";

export const VIDEO = { size: "320x192", seconds: "1", steps: 8 } as const;
const CREDITS = "1000000";
const BESIDE = 8;
/** Of a hundred accounts. */
const TIERS = { free: 75, plus: 20, pro: 5 } as const;

export interface Customer {
  readonly id: string;
  readonly apiKey: string;
}

export type Parts = Readonly<Record<"control plane" | "edge" | "PostgreSQL" | "runners", Usage>>;

export class Site {
  readonly product: Product;

  constructor(product: Product) {
    this.product = product;
  }

  async customers(count: number): Promise<readonly Customer[]> {
    const tiers = Array.from({ length: count }, (_, n) => tierOf(((n % 100) + 0.5) / 100));
    const made: Customer[] = [];
    for (let n = 0; n < count; n += BESIDE) {
      const some = tiers.slice(n, n + BESIDE);
      made.push(...(await Promise.all(some.map((tier) => this.product.account(tier, CREDITS)))));
    }
    return made;
  }

  /** One create as the SDK makes it, without retries; how long until it was acknowledged, or null where it was refused. */
  async create(customer: Customer, name: string): Promise<number | null> {
    const fromMs = performance.now();
    const client = this.product.client(customer.apiKey, { maxRetries: 0 });
    const asked = { ...VIDEO, prompt: `!idle=150 ${name}`, metadata: { op: name } };
    const answer = await client.videos.create(asked as unknown as OpenAI.VideoCreateParams).catch(() => null);
    return answer === null ? null : performance.now() - fromMs;
  }

  async read(customer: Customer, video: string): Promise<number | null> {
    const fromMs = performance.now();
    const client = this.product.client(customer.apiKey, { maxRetries: 0 });
    const answer = await client.videos.retrieve(video).catch(() => null);
    return answer === null ? null : performance.now() - fromMs;
  }

  async waiting(): Promise<number> {
    const [row] = await this.product.sql`
      select count(*)::int as n from job where state in ('queued', 'preempted', 'retrying')`;
    return Number(row?.["n"]);
  }

  /** Videos that completed within the last so many seconds, by the database's clock. */
  async finishedWithin(seconds: number): Promise<number> {
    const [row] = await this.product.sql`
      select count(*)::int as n from job where state = 'completed'
        and finished_at > clock_timestamp() - make_interval(secs => ${seconds})`;
    return Number(row?.["n"]);
  }

  /** Ends what waits and waits for what runs. */
  async clear(): Promise<void> {
    await until("all jobs are over", 600_000, async () => {
      const [row] = await this.product.sql`select count(*)::int as n from job where finished_at is null`;
      return row?.["n"] === 0;
    });
  }

  async parts(): Promise<Parts> {
    const { edge, control_plane: planes, postgres, runners } = await this.product.pids();
    const all = async (pids: readonly number[]) =>
      (await Promise.all(pids.map(usageOf))).reduce((sum, usage) => ({
        cpuS: sum.cpuS + usage.cpuS,
        mib: sum.mib + usage.mib,
        sockets: sum.sockets + usage.sockets,
      }));
    return {
      "control plane": await all(planes),
      edge: await all([edge]),
      PostgreSQL: await all([postgres]),
      runners: await all(runners),
    };
  }

  /** Lines of the control plane's metrics whose name begins so. */
  async metrics(prefix: string): Promise<readonly string[]> {
    const { admin_url: url, admin_token: token } = this.product.dev;
    const answer = await fetch(`${url}/metrics`, { headers: { authorization: `Bearer ${token}` } });
    return (await answer.text()).split("\n").filter((line) => line.startsWith(`callsheet_${prefix}`));
  }
}

/** Runs the generator; `over` is called when the last request of the plan was sent. */
export function offer(plan: Plan, over: () => void): Promise<Told> {
  const { promise, resolve, reject } = Promise.withResolvers<Told>();
  const child = fork(fileURLToPath(new URL("generator.ts", import.meta.url)), { stdio: "inherit" });
  child.on("message", (told: Told | "over") => (told === "over" ? over() : resolve(told)));
  child.once("exit", (code) => reject(new Error(`the generator ended with ${code}`)));
  child.send(plan);
  return promise;
}

function tierOf(share: number): keyof typeof TIERS {
  if (share * 100 < TIERS.free) return "free";
  return share * 100 < TIERS.free + TIERS.plus ? "plus" : "pro";
}
