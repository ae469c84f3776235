/** The terms of the studio as the database has them now: data, changed without a restart. */
import type { Outcome } from "#control-plane/core/scheduler/cost-correction.ts";
import type { DeclaredCost } from "#control-plane/core/scheduler/cost-model.ts";
import type { TierTerms } from "#control-plane/core/scheduler/event.ts";
import type { JobClass } from "#control-plane/core/scheduler/job-class.ts";
import type { LimitOverrides } from "#control-plane/core/scheduler/limit-overrides.ts";
import { recentOutcomes } from "#control-plane/db/attempts.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { quarantinedRunners } from "#control-plane/db/incidents.ts";
import { allClasses, allModels } from "#control-plane/db/models.ts";
import type { ClassRow, ModelRow } from "#control-plane/db/models.ts";
import { drainedRunners } from "#control-plane/db/runners.ts";
import { allTiers, limitOverrides } from "#control-plane/db/tiers.ts";
import type { RunnerId, Sha256Hex } from "#protocol/id.ts";
import { trustedRunners } from "./runner-identity.ts";

export interface DeclaredClass {
  readonly class: JobClass;
  readonly cost: DeclaredCost;
}

export interface LiveTerms {
  readonly tiers: readonly TierTerms[];
  readonly classes: readonly DeclaredClass[];
  readonly limits: LimitOverrides;
  /** Runners that get no new work: by the operator, or for what they lost. */
  readonly resting: { readonly drained: readonly RunnerId[]; readonly quarantined: readonly RunnerId[] };
  /** The secrets by which runners may speak. */
  readonly trusted: ReadonlyMap<RunnerId, Sha256Hex>;
}

export async function readTerms(sql: Sql): Promise<LiveTerms> {
  const [tiers, models, classes, limits, drained, quarantined, trusted] = await Promise.all([
    allTiers(sql),
    allModels(sql),
    allClasses(sql),
    limitOverrides(sql),
    drainedRunners(sql),
    quarantinedRunners(sql),
    trustedRunners(sql),
  ]);
  return {
    limits,
    resting: { drained, quarantined },
    trusted,
    tiers: tiers.map((row) => ({
      tier: row.name,
      weight: row.weight,
      shareMin: row.shareMin,
      shareMax: row.shareMax,
      accountRunningMax: row.maxRunning,
      tierRunningMax: row.tierMaxRunning,
    })),
    classes: models.flatMap((model) =>
      classes.filter((row) => row.model === model.name).map((row) => declaredOf(model, row)),
    ),
  };
}

/** What attempts of the last leaders took, for a new one to learn from. */
export function pastOutcomes(sql: Sql): Promise<readonly Outcome[]> {
  return recentOutcomes(sql);
}

export function classIdOf(model: string, name: string): string {
  return `${model}|${name}`;
}

function declaredOf(model: ModelRow, { name, gpuMs, shapes }: ClassRow): DeclaredClass {
  const gangs = shapes.map(({ k, wall_ms: wallMs, encode_ms: encodeMs, decode_ms: decodeMs }) => {
    const stepMs = (wallMs - encodeMs - decodeMs) / model.stepsDefault;
    return [k, { encodeMs, stepMs, decodeMs }] as const;
  });
  return {
    class: {
      id: classIdOf(model.name, name),
      model: model.name,
      shapes: shapes.map(({ k, vram_bytes: vramBytes }) => ({ k, vramBytes })),
      resume: model.resume,
      batchMax: 1,
    },
    // Charged in proportion to the steps, as the price is.
    cost: {
      gangs: new Map(gangs),
      loadMs: model.loadMs,
      charge: { fixedMs: 0, stepMs: gpuMs / model.stepsDefault },
    },
  };
}
