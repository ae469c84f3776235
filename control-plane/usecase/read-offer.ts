/** What an account may ask for: the caps of its tier with what counts towards them now, and the models there are. */
import { accountUse } from "#control-plane/db/accounts.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { allClasses, allModels } from "#control-plane/db/models.ts";
import type { AccountId } from "#protocol/id.ts";
import type { AccountStanding, ModelList } from "#protocol/limits.ts";

const OWNED_BY = "callsheet";

export async function readStanding(sql: Sql, account: AccountId): Promise<AccountStanding | null> {
  const use = await accountUse(sql, account);
  if (use === null) return null;
  const { tier, running, waiting } = use;
  return {
    tier: tier.name,
    weight: tier.weight,
    running: { limit: tier.maxRunning, used: running },
    queued: { limit: tier.maxQueued, used: waiting },
    start_bound_seconds: tier.startBoundS,
  };
}

/** A size is offered while a class of its resolution is. */
export async function readModels(sql: Sql): Promise<ModelList> {
  const [models, classes] = await Promise.all([allModels(sql), allClasses(sql)]);
  const data = models.map((model) => {
    const offered = classes.filter((entry) => entry.model === model.name && entry.retiredAt === null);
    const isOffered = (resolution: string) => offered.some((entry) => entry.resolution === resolution);
    return {
      id: model.name,
      object: "model" as const,
      created: Math.floor(model.createdAt.getTime() / 1_000),
      owned_by: OWNED_BY,
      operations: ["create" as const],
      sizes: model.sizes.filter(({ resolution }) => isOffered(resolution)).map(({ size }) => size),
      default_size: model.defaultSize,
      seconds: { min: model.secondsMin, max: model.secondsMax, default: model.secondsDefault },
      steps: { max: model.stepsMax, default: model.stepsDefault },
    };
  });
  return { object: "list", data };
}
