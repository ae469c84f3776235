/** A new leader's scheduler, in the order in which the scheduler loop loads its world: only what outlives the old leader goes in. */
import type { SchedulerEvent } from "#control-plane/core/scheduler/event.ts";
import { Scheduler } from "#control-plane/core/scheduler/scheduler.ts";
import { CLASSES } from "./studio.ts";
import type { World } from "./world.ts";

export function rebuilt(world: World): Scheduler {
  const scheduler = new Scheduler(world.cost, world.limits);
  const tell = (event: SchedulerEvent) => scheduler.apply(event, world.nowMs);
  for (const terms of world.tiers.values()) tell({ t: "tier", terms });
  for (const jobClass of CLASSES) tell({ t: "class", class: jobClass });
  for (const clock of world.stored.tiers.values()) tell({ t: "tier_clock", clock });
  for (const runner of world.runners) {
    tell({ t: "runner_up", runner });
    if (world.down.has(runner.id)) tell({ t: "runner_down", runner: runner.id });
  }
  for (const [account, tier] of world.accounts) {
    const tag = world.stored.tags.get(account);
    tell({ t: "account", account, tier, ...(tag === undefined ? {} : { tag }) });
  }
  for (const { place } of world.running.values()) {
    tell({ t: "running", job: place.job, runner: place.runner, devices: place.devices, slot: null });
  }
  for (const job of world.waiting.values()) tell({ t: "queued", job });
  return scheduler;
}
