/** What each command does to the world. */
import type { Command } from "./command.ts";
import { rebuilt } from "./rebuilt.ts";
import { variantOf } from "./studio.ts";
import type { World } from "./world.ts";

export function perform(world: World, command: Command): void {
  switch (command.t) {
    case "submit":
      for (let n = 0; n < command.count; n++) world.submit(command);
      return;
    case "pass":
      return world.passTo(world.nowMs + command.ms);
    case "withdraw": {
      const job = picked(world.waiting, command.pick);
      if (job === null) return;
      world.waiting.delete(job.id);
      return world.tell({ t: "withdrawn", job: job.id });
    }
    case "cancel": {
      const run = picked(world.running, command.pick);
      if (run !== null) world.end(run, world.stepsRunAt(run, world.nowMs));
      return;
    }
    case "break": {
      const run = picked(world.running, command.pick);
      if (run !== null) world.lose(run, { notBeforeMs: world.nowMs + command.backoffMs, avoid: run.place.runner });
      return;
    }
    case "terms": {
      const terms = variantOf(command.tier, command.variant);
      world.tiers.set(command.tier, terms);
      return world.tell({ t: "tier", terms });
    }
    case "move":
      world.accounts.set(command.account, command.tier);
      return world.tell({ t: "account", account: command.account, tier: command.tier });
    case "runner":
      return world.turnRunner(command.runner, command.up);
    case "refuse":
      world.refuseNext = command.how;
      return;
    case "report":
      return world.report();
    case "takeover":
      world.leader = rebuilt(world);
      return world.check();
    default:
      return command satisfies never;
  }
}

/** The n-th in order of id; null where there is none. */
function picked<T>(from: ReadonlyMap<string, T>, pick: number): T | null {
  if (from.size === 0) return null;
  const ids = [...from.keys()].toSorted();
  return from.get(ids[pick % ids.length] ?? "") ?? null;
}
