/**
 * Bugs to plant, one at a time: the simulation must find each, or it is no proof of anything. `find` must be in its file
 * exactly once, so a mutant that no longer fits the code fails its run instead of being passed over.
 */
import { MODEL_MUTANTS } from "./model-mutants.ts";
import type { Mutant } from "./system/hooks.ts";

const CORE = "control-plane/core/";
const LOOP = "control-plane/loop/";
const SOCKET = "control-plane/socket/";
const USECASE = "control-plane/usecase/";

const PRODUCT_MUTANTS: readonly Mutant[] = [
  {
    name: "any-epoch",
    says: "a runner's last word counts whichever lease it is of",
    file: `${CORE}job.ts`,
    find: `(phase !== "leased" || event.epoch !== job.epoch)`,
    replace: `phase !== "leased"`,
  },
  {
    name: "ended-moves-again",
    says: "a job that is over can be cancelled",
    file: `${CORE}job.ts`,
    find: `if (phase === "ended") return { ok: false, refusal: "ended" };`,
    replace: ``,
  },
  {
    name: "cancel-pays-all",
    says: "a cancelled job is charged its whole price",
    file: `${CORE}job.ts`,
    find: `charge: chargeFor(job.price, job.stepsDone, job.steps),`,
    replace: `charge: job.price,`,
  },
  {
    name: "charge-rounds-up",
    says: "a cancelled job is charged a unit too much",
    file: `${CORE}settlement.ts`,
    find: `(price * BigInt(stepsDone)) / BigInt(steps)`,
    replace: `(price * BigInt(stepsDone) + BigInt(steps) - 1n) / BigInt(steps)`,
  },
  {
    name: "double-release",
    says: "a hold gives back what it captured, too",
    file: `${CORE}ledger.ts`,
    find: `const rest = amount - part;`,
    replace: `const rest: bigint = amount;`,
  },
  {
    name: "hold-stays-open",
    says: "a job ends and its hold does not",
    file: `${USECASE}settle-hold.ts`,
    find: `closeHold(tx, { job, at }, lots, settlement),`,
    replace: ``,
  },
  {
    name: "no-leader-check",
    says: "placements are committed without looking who leads",
    file: `${USECASE}dispatch.ts`,
    find: `await assertLeader(tx, leaderEpoch);`,
    replace: `void [assertLeader, leaderEpoch];`,
  },
  {
    name: "oldest-checkpoint",
    says: "a job goes on from the oldest checkpoint that is kept",
    file: `${USECASE}dispatch.ts`,
    find: `await checkpointsOf(tx, job.id);`,
    replace: `(await checkpointsOf(tx, job.id)).slice(-1);`,
  },
  {
    name: "no-mail",
    says: "the scheduler is not told that a job moved",
    file: `${USECASE}move-job.ts`,
    find: `await postInbox(tx, before.id);`,
    replace: `void postInbox;`,
  },
  {
    name: "attempt-stays-open",
    says: "a job leaves its runner and its attempt goes on",
    file: `${USECASE}move-job.ts`,
    find: `await closeAttempt(tx, { job: before.id, epoch: before.epoch }, change.attempt, stages);`,
    replace: `void [closeAttempt, stages];`,
  },
  {
    name: "end-in-two-transactions",
    says: "a job's end is committed before its attempt, hold and event",
    file: `${USECASE}move-job.ts`,
    find: `return inTransaction(sql, (tx) => moveJobIn(tx, id, event, nowMs, options));`,
    replace: `return moveJobIn(sql as unknown as Transaction, id, event, nowMs, options);`,
  },
  {
    name: "nobody-sweeps",
    says: "the leases of silent runners are held forever",
    file: `${USECASE}lead.ts`,
    find: `{ kind: "lost", epoch: lease.epoch, how: "died" }`,
    replace: `{ kind: "lost", epoch: 0, how: "died" }`,
  },
  {
    name: "leads-on",
    says: "a leader whose renewal hangs does not stop by its own clock",
    file: `${LOOP}leadership.ts`,
    find: `if (this.#term === term) this.#stepDown(term, "the lease may be over");`,
    replace: ``,
  },
  {
    name: "sockets-stay",
    says: "a leader that steps down keeps its runners",
    file: `${SOCKET}runner-hub.ts`,
    find: `for (const session of this.#sessions.values()) session.close(CLOSE_NOT_LEADER, reason);`,
    replace: ``,
  },
  {
    name: "lost-placement",
    says: "a placement whose transaction failed is not queued again",
    file: `${LOOP}scheduler-loop.ts`,
    find: `this.#scheduler.apply({ t: "queued", job }, nowMs);`,
    replace: ``,
  },
  {
    name: "held-forever",
    says: "a job whose devices were held is not tried again",
    file: `${LOOP}scheduler-loop.ts`,
    find: `this.#tell({ t: "queued", job: { ...job, notBeforeMs: nowMs + HELD_RETRY_MS } });`,
    replace: ``,
  },
  {
    name: "loop-dies",
    says: "a loop ends at its first error",
    file: `${LOOP}ticker.ts`,
    find: `this.#host.log.warn({ loop: this.#name, err: error }, "a loop's turn failed; it will be tried again");`,
    replace: `this.#stopped = true; void error;`,
  },
  {
    name: "sent-before-told",
    says: "events count as sent before the edge has them",
    file: `${LOOP}edge-sender.ts`,
    find: `if (!(await this.#host.push(account, { items }))) return`,
    replace: `await recordSent(this.#sql, account, events.at(-1)?.sequence_number ?? sentThrough);
    if (!(await this.#host.push(account, { items }))) return`,
  },
  {
    name: "no-reconcile",
    says: "what a restarted runner lost is not given to others when it dials",
    file: `${SOCKET}runner-hub.ts`,
    find: `if (!alive.has(leaseName(held))) await this.#host.lost(held);`,
    replace: `void [alive, held];`,
  },
  {
    name: "unawaited-welcome",
    says: "a database fault while a runner is welcomed ends the replica",
    file: `${SOCKET}runner-hub.ts`,
    find: `return await this.#admit(hello, socket);`,
    replace: `return this.#admit(hello, socket);`,
  },
  {
    name: "reply-before-commit",
    says: "a finished video is confirmed before it is recorded",
    file: `${SOCKET}runner-desk.ts`,
    find: `return this.#end(lease, { kind: "finished", epoch: lease.epoch, artifact, artifactKey });`,
    replace: `this.#end(lease, { kind: "finished", epoch: lease.epoch, artifact, artifactKey }).catch(() => {}); return "recorded";`,
  },
  {
    name: "runs-beyond-lease",
    says: "a runner does not look at its leases",
    file: "gpu-runner/core/session.ts",
    find: `if (nowMs >= attempt.leaseUntilMs) return abandon(attempt);`,
    replace: ``,
  },
  {
    name: "lease-from-nowhere",
    says: "a runner counts its lease four times as long as it was given",
    file: "gpu-runner/core/session.ts",
    find: `beat.sentMs + leaseMs)`,
    replace: `beat.sentMs + 4 * leaseMs)`,
  },
  {
    name: "runs-twice",
    says: "an assignment that comes again after its end runs again",
    file: "gpu-runner/core/session.ts",
    find: `if (session.spent.includes(leaseName(lease))) return refuse("busy");`,
    replace: ``,
  },
  {
    name: "deaf-to-stale",
    says: "a runner that is told that its lease is over goes on",
    file: "gpu-runner/core/session.ts",
    find: `return onAttempt(session, frame.lease, abandon);`,
    replace: `return { session, effects: [] };`,
  },
  {
    name: "ending-said-once",
    says: "how an attempt ended is not said again over a new socket",
    file: "gpu-runner/core/attempt.ts",
    find: `if (ending !== null && parcel === null) effects.push({ t: "send", frame: ending });`,
    replace: `void ending;`,
  },
  {
    name: "result-said-once",
    says: "a finished file is not announced again over a new socket",
    file: "gpu-runner/core/attempt.ts",
    find: `effects.push(...speakParcel(attempt));`,
    replace: ``,
  },
];

export const MUTANTS: readonly Mutant[] = [...PRODUCT_MUTANTS, ...MODEL_MUTANTS];
