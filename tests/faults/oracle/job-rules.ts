/** Rules of a job's life: who may hold it, which writes count, what an end leaves behind, and what may be shown. */
import { lastStepOf, PHASE_OF } from "#control-plane/core/job.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import type { Change } from "../postgres/table.ts";
import type { AttemptRow, CheckpointRow, ClaimRow, HoldRow, Tables } from "../postgres/tables.ts";
import type { Accepted } from "../postgres/tx.ts";
import type { Commit } from "../postgres/server.ts";
import { finished, hashOf } from "../world/rendering.ts";
import type { SimulatedHook } from "../world/moderation-hook.ts";
import type { SimulatedStore } from "../world/store.ts";
import type { Finding } from "./checker.ts";

/** One commit, by table. */
interface Changes {
  readonly jobs: ReadonlyMap<string, { readonly before: JobRow | null; readonly after: JobRow }>;
  readonly attempts: readonly AttemptRow[];
  readonly discarded: ReadonlySet<string>;
  readonly touched: ReadonlySet<string>;
  readonly mailed: boolean;
}

export class JobRules {
  readonly #tables: Tables;
  readonly #store: SimulatedStore;
  readonly #hook: SimulatedHook;

  constructor(tables: Tables, store: SimulatedStore, hook: SimulatedHook) {
    this.#tables = tables;
    this.#store = store;
    this.#hook = hook;
  }

  findings({ tx, changes }: Commit): readonly Finding[] {
    const sorted = sort(changes);
    return [
      ...tx.accepted.map((claim) => acceptedFinding(claim, sorted)),
      ...[...sorted.jobs.values()].flatMap(({ before, after }) => [
        stepFinding(before, after, sorted),
        this.#attemptFinding(before, after, sorted),
        this.#endFinding(before, after),
        this.#shownFinding(before, after),
      ]),
      ...[...sorted.touched].map((job) => this.#claimFinding(job)),
    ];
  }

  #attemptFinding(before: JobRow | null, after: JobRow, { attempts }: Changes): Finding {
    const was = before !== null && PHASE_OF[before.state] === "leased";
    const is = PHASE_OF[after.state] === "leased";
    if (was && !is) {
      const closed = attempts.some(
        (one) => one.jobId === after.id && one.epoch === after.epoch && one.endedAt !== null,
      );
      return closed ? null : `${after.id} left its runner and attempt ${after.epoch} is still open`;
    }
    if (was || !is) return null;
    const opened = attempts.find((one) => one.jobId === after.id && one.epoch === after.epoch);
    if (opened === undefined) return `${after.id} started without an attempt`;
    const kept = [...this.#tables.checkpoint.committed()]
      .filter((row) => row.jobId === after.id && !row.unusable)
      .reduce((most, { step }) => Math.max(most, step), 0);
    // What was kept is never run again, and nothing is skipped.
    return opened.fromStep === kept && after.stepsDone === kept
      ? null
      : `${after.id} goes on from step ${opened.fromStep}, while ${kept} are kept and ${after.stepsDone} counted`;
  }

  #endFinding(before: JobRow | null, after: JobRow): Finding {
    if (PHASE_OF[after.state] !== "ended" || (before !== null && PHASE_OF[before.state] === "ended")) return null;
    const hold = this.#tables.hold.get(after.id);
    if (hold?.state !== "settled") return `${after.id} ended and its hold is ${hold?.state ?? "missing"}`;
    const due = dueOf(after);
    if (hold.captured !== due) return `${after.id} is ${after.state} and was charged ${hold.captured}, not ${due}`;
    return after.state === "completed" ? this.#artifactFinding(after, hold) : null;
  }

  /** Where there is a hook nothing is shown that it has not allowed. */
  #shownFinding(before: JobRow | null, after: JobRow): Finding {
    if (after.state !== "completed" || before?.state === "completed" || !this.#hook.reviews) return null;
    if (before?.state !== "moderating" || after.resultPolicy === null)
      return `${after.id} is shown and nobody judged it`;
    return this.#hook.forbids(after.id) ? `${after.id} is shown although the hook forbids it` : null;
  }

  #artifactFinding(job: JobRow, _hold: HoldRow): Finding {
    const expected = hashOf(finished(Number(job.seed), lastStepOf(job)));
    const stored = this.#store.objects.get(job.artifactKey ?? "");
    if (!(job.artifactKey ?? "").startsWith(`jobs/${job.id}/${job.epoch}/`)) {
      return `${job.id} of epoch ${job.epoch} has the artifact ${job.artifactKey} of another lease`;
    }
    // Of a video that its owner deleted the file goes.
    if (stored === undefined && job.deletedAt !== null) return null;
    if (stored === undefined) return `${job.id} is completed and its file is not in the store`;
    return job.artifactSha256 === expected && hashOf(stored.rendering) === expected
      ? null
      : `${job.id} is completed with another video than its seed and steps give`;
  }

  /** A slot is claimed exactly as long as a job is leased on it. */
  #claimFinding(id: string): Finding {
    const job = this.#tables.job.get(id);
    const claims = [...this.#tables.claim.committed()].filter(({ jobId }) => jobId === id);
    if (job === null || PHASE_OF[job.state] !== "leased") {
      return claims.length === 0 ? null : `${id} is ${job?.state ?? "gone"} and claims ${claims.length} slots`;
    }
    const devices = new Set(claims.map(({ device }) => device));
    const fits = claims.every(({ runnerId }) => runnerId === job.runnerId) && devices.size === job.devices?.length;
    return fits
      ? null
      : `${id} is on ${job.runnerId} ${job.devices?.join("+")} and claims ${claims.length} slots elsewhere`;
  }
}

function sort(changes: readonly Change[]): Changes {
  const of = <Row>(table: string) =>
    changes.filter((one) => one.table === table) as readonly (Change & { after: Row })[];
  const jobs = new Map(
    of<JobRow>("job").map(({ key, before, after }) => [key, { before: before as JobRow | null, after }]),
  );
  const claims = changes.filter(({ table }) => table === "device_claim");
  return {
    jobs,
    attempts: of<AttemptRow>("attempt").map(({ after }) => after),
    discarded: new Set(
      of<CheckpointRow | null>("checkpoint").flatMap(({ after }) => (after?.unusable === true ? [after.jobId] : [])),
    ),
    touched: new Set([...jobs.keys(), ...claims.map((one) => ((one.after ?? one.before) as ClaimRow).jobId)]),
    mailed: changes.some(({ table, after }) => table === "inbox" && after !== null),
  };
}

/** A write that counted was of the lease that was current, and by one who may. */
function acceptedFinding({ what, job, epoch }: Accepted, { jobs }: Changes): Finding {
  const before = jobs.get(job)?.before;
  if (before === undefined || before === null) return null;
  const phase = PHASE_OF[before.state];
  if (what === "placement") {
    return phase === "waiting" && epoch === before.epoch + 1 ? null : `${job} was placed while ${before.state}`;
  }
  return phase === "leased" && before.epoch === epoch
    ? null
    : `a ${what} of ${job} epoch ${epoch} was accepted while it is ${before.state}, epoch ${before.epoch}`;
}

function stepFinding(before: JobRow | null, after: JobRow, { discarded, mailed }: Changes): Finding {
  if (before === null) return mailed ? null : `nobody is told of the new ${after.id}`;
  const { id } = after;
  if (PHASE_OF[before.state] === "ended" && (after.state !== before.state || after.epoch !== before.epoch)) {
    return `${id} was ${before.state} and became ${after.state}`;
  }
  if (after.progress < before.progress)
    return `the progress of ${id} fell from ${before.progress} to ${after.progress}`;
  if (after.stepsDone < before.stepsDone && !discarded.has(id)) {
    return `${id} lost steps: ${before.stepsDone} to ${after.stepsDone}`;
  }
  const started = PHASE_OF[before.state] === "waiting" && PHASE_OF[after.state] === "leased";
  if (after.epoch !== before.epoch + (started ? 1 : 0)) {
    return `the epoch of ${id} went from ${before.epoch} to ${after.epoch}, ${before.state} to ${after.state}`;
  }
  const moves =
    PHASE_OF[before.state] !== PHASE_OF[after.state] ||
    (after.state === "cancelling") !== (before.state === "cancelling");
  return moves && !started && !mailed ? `${id} became ${after.state} and the scheduler has no mail` : null;
}

function dueOf(job: JobRow): bigint {
  const { state, price, stepsDone, firstStep, errorCode, errorFault } = job;
  if (state === "completed") return price;
  const ownDeadline = errorCode === "deadline_exceeded" && errorFault === "user";
  return state === "failed" && !ownDeadline
    ? 0n
    : (price * BigInt(Math.max(0, stepsDone - firstStep))) / BigInt(lastStepOf(job) - firstStep);
}
