/** The first line of a log: everything an outsider needs to recheck the rest. */
import { BYTES_PER_GB } from "#control-plane/core/scheduler/cost-gpu.ts";
import { costsSha256 } from "./catalog.ts";
import type { SimInput } from "./engine.ts";
import type { LogConfig } from "./log-record.ts";
import type { Machine } from "./machine.ts";

export function logConfig({ catalog, options, name, policy }: SimInput, machine: Machine): LogConfig {
  const runners = [...machine.runners.values()].map(({ terms }) => terms);
  const batches = catalog.classes.filter(({ batchMax }) => batchMax > 1);
  return {
    t_ms: 0,
    event: "config",
    policy: name,
    seed: options.seed,
    tiers: options.tiers.map(({ tier }) => tier),
    caps: Object.fromEntries(options.tiers.map((terms) => [terms.tier, terms.accountRunningMax])),
    weights: Object.fromEntries(options.tiers.map(({ tier, weight }) => [tier, weight])),
    ...(policy.skipMs === undefined ? {} : { skip_s: policy.skipMs / 1_000 }),
    costs_sha256: costsSha256(
      catalog,
      runners.map(({ gpu }) => gpu),
    ),
    runners: runners.map(({ id, gpu, devices }) => {
      const { slots, vramBytes } = devices[0] ?? { slots: 1, vramBytes: 0 };
      return {
        id,
        gpu,
        vram_gb: vramBytes / BYTES_PER_GB,
        ...(slots === 1 ? {} : { slots }),
        devices: devices.map((device) => device.id),
      };
    }),
    classes: Object.fromEntries(
      catalog.classes.map(({ id, shapes }) => [
        id,
        shapes.map(({ k, vramBytes }) => ({ k, vram_gb: vramBytes / BYTES_PER_GB })),
      ]),
    ),
    ...(batches.length === 0
      ? {}
      : { batch_max: Object.fromEntries(batches.map(({ id, batchMax }) => [id, batchMax])) }),
  };
}
