/**
 * R7: a wire between a runner and the control planes holds one or both directions, or is cut. Healed within the lease the
 * same attempt goes on; beyond it the runner's own clock drops the attempt before anybody else gets the job.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { Row } from "../row.ts";
import type { Stage, Victim } from "../stage.ts";
import type { Wire } from "../tcp-proxy.ts";

const AT_ONCE = 4;
const STEP_MS = 1_000;
const STEPS = 20;
const LATE_MS = 3_000;
const REASSIGN_WAIT_MS = 30_000;
const DROP_POLL_MS = 20;
/** The disk is asked for the runner's folder by a poll, the database stamps its own time: so much they may differ. */
const CLOCKS_MS = 100;
const BESIDE_WAIT_MS = 16_000;
/**
 * Wires that only go silent: the runner's own clock ends the attempt first. Of a cut one the control plane hears at once, takes it
 * for a death after its grace, and the epoch alone is what fences the runner that still runs.
 */
const SILENT: ReadonlySet<Wire> = new Set<Wire>(["held", "to_client_held", "from_client_held"]);

interface Partition {
  readonly wire: Wire;
  /** Null: until the job runs elsewhere. */
  readonly healMs: number | null;
}

/** Shorter than the grace for a cut wire, than the lease for a silent one. */
const PARTITIONS: readonly Partition[] = [
  { wire: "held", healMs: null },
  { wire: "held", healMs: 4_000 },
  { wire: "to_client_held", healMs: null },
  { wire: "from_client_held", healMs: 4_000 },
  { wire: "from_client_held", healMs: null },
  { wire: "to_client_held", healMs: 4_000 },
  { wire: "cut", healMs: 500 },
  { wire: "cut", healMs: null },
];

export const cutRunner: Row = {
  id: "R7",
  fault: "partition runner ↔ control plane: both ways, each way alone, cut",
  rounds: { full: 20, slice: 2 },
  runners: 2 * AT_ONCE,
  beside: "R3",
  goals: [
    { name: "reassigned", says: "beyond the lease: runs elsewhere", most: 17_000, unit: "ms", kind: "time" },
    {
      name: "late drop",
      says: "runner that was silent dropped it after the next lease began by",
      most: CLOCKS_MS,
      unit: "ms",
      kind: "safety",
    },
    { name: "new attempts", says: "healed in time: attempts that did not go on", most: 0, unit: "", kind: "time" },
  ],
  async run(stage, rounds) {
    for (let done = 0; done < rounds; done += AT_ONCE) {
      const partitions = Array.from(
        { length: Math.min(AT_ONCE, rounds - done) },
        (_, index) => PARTITIONS[(done + index) % PARTITIONS.length]!,
      );
      const victims = await Promise.all(partitions.map(() => stage.victim(STEP_MS, STEPS)));
      await Promise.all(victims.map((victim, index) => part(stage, victim, partitions[index]!)));
    }
  },
};

async function part(stage: Stage, victim: Victim, { wire, healMs }: Partition): Promise<void> {
  const { runner, job, epoch } = victim;
  await sleep(stage.random.int(0, LATE_MS));
  const atMs = Date.now();
  runner.wire(wire);
  try {
    if (healMs === null) await beyondLease(stage, victim, wire, atMs);
    else await sleep(healMs);
  } finally {
    runner.wire("open");
  }
  if (healMs === null) return;
  // The attempt that was under way ends the job, unless it was taken away.
  const ended = await stage.poll(60_000, async () => {
    const [row] = await stage.site.product.sql<{ epoch: number; done: boolean }[]>`
      select epoch, finished_at is not null as done from job where id = ${job}`;
    return row?.done === true ? row : null;
  });
  stage.figures.note("new attempts", ended?.epoch === epoch ? 0 : 1);
  if (ended?.epoch !== epoch) stage.notes.push(`${wire} for ${healMs} ms: ${job} ended under epoch ${ended?.epoch}`);
}

async function beyondLease(stage: Stage, victim: Victim, wire: Wire, atMs: number): Promise<void> {
  const { job, epoch } = victim;
  const dropped = droppedAt(stage, victim);
  const next = await stage.redispatched(job, epoch, REASSIGN_WAIT_MS);
  if (next === null) return stage.breach(`lost: ${job} did not run elsewhere within ${REASSIGN_WAIT_MS} ms`);
  stage.figures.note("reassigned", next.atMs - atMs);
  const late = await Promise.race([dropped, sleep(BESIDE_WAIT_MS, null)]);
  const besideMs = late === null ? BESIDE_WAIT_MS : Math.max(0, late - next.atMs);
  if (SILENT.has(wire)) stage.figures.note("late drop", besideMs);
  else stage.notes.push(`${wire}: ${job}/${epoch} ran on beside its successor for ${Math.round(besideMs)} ms, fenced`);
}

async function droppedAt(stage: Stage, { runner, job, epoch }: Victim): Promise<number> {
  await stage.poll(REASSIGN_WAIT_MS, async () => {
    await sleep(DROP_POLL_MS);
    return (await runner.holds(job, epoch)) ? null : true;
  });
  return Date.now();
}
