/** A real leader on a test's database: its scheduling loop, with the runners played by the test and a clock it sets. */
import type { Explanation } from "#control-plane/core/job-view.ts";
import { PRODUCTION_LIMITS } from "#control-plane/core/scheduler/limits.ts";
import { takeLeadership } from "#control-plane/db/leader.ts";
import { adminApp } from "#control-plane/http/admin.ts";
import { SchedulerLoop } from "#control-plane/loop/scheduler-loop.ts";
import { systemClock } from "#control-plane/system-clock.ts";
import { DiskStore } from "#control-plane/store/disk-store.ts";
import type { Dispatched } from "#control-plane/usecase/dispatch.ts";
import { registerRunner, runnerTermsOf } from "#control-plane/usecase/lead.ts";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import { DeviceId, RunnerId } from "#protocol/id.ts";
import type { RunnerId as Runner, VideoId } from "#protocol/id.ts";
import type { LeaseRef, Stage } from "#protocol/runner.ts";
import { anArtifact } from "./studio.ts";
import type { Studio } from "./studio.ts";
import { QUIET } from "#tests/support/quiet-host.ts";

const ADMIN_TOKEN = "admin-token-of-the-test";
const WAIT_MS = 10_000;
const POLL_MS = 10;
const GIB = 2 ** 30;

export class Leader {
  readonly sent: Dispatched[] = [];
  readonly stops: LeaseRef[] = [];
  nowMs = 1_000_000;
  readonly #studio: Studio;
  readonly #loop: SchedulerLoop;
  readonly #waiters = new Set<() => void>();

  /** Takes over whoever led before. */
  static async begin(studio: Studio): Promise<Leader> {
    await studio.sql`update leader set expires_at = clock_timestamp() - interval '1 second'`;
    const epoch = await takeLeadership(studio.sql, "leader", null, 600_000);
    if (epoch === null) throw new Error("the lease could not be taken");
    const leader = new Leader(studio, epoch);
    await leader.#loop.load();
    leader.#loop.start();
    return leader;
  }

  constructor(studio: Studio, epoch: number) {
    this.#studio = studio;
    const host = {
      limits: PRODUCTION_LIMITS,
      clock: { ...systemClock, monotonicMs: () => this.nowMs },
      ...QUIET,
      send: (work: Dispatched) => this.#heard(this.sent, work),
      stop: (_runner: Runner, lease: LeaseRef) => this.#heard(this.stops, lease),
      trust: () => undefined,
    };
    this.#loop = new SchedulerLoop(studio.sql, new DiskStore("/nonexistent"), epoch, host);
  }

  get loop(): SchedulerLoop {
    return this.#loop;
  }

  stop(): Promise<void> {
    return this.#loop.stop();
  }

  /** A runner dials, with devices named `<id>:<n>`. */
  async runner(name: string, devices: number, build = "toy 1"): Promise<void> {
    const hello = {
      id: RunnerId.parse(name),
      engine: "toy",
      build,
      models: ["reference"],
      caps: { checkpoint: "exact", step_progress: true, cancel: "step" },
      devices: Array.from({ length: devices }, (_, n) => ({
        id: DeviceId.parse(`${name}:${n}`),
        gpu: "toy-gpu",
        vram_bytes: 80 * GIB,
        slots: 1,
      })),
    } as const;
    await registerRunner(this.#studio.sql, hello);
    this.#loop.runnerUp(runnerTermsOf(hello));
  }

  /** The nth dispatch since the leader began, as soon as there is one. */
  async dispatch(nth: number): Promise<Dispatched> {
    await this.until(() => this.sent.length > nth);
    const work = this.sent[nth];
    if (work === undefined) throw new Error("it was just there");
    return work;
  }

  /** What the leader says of a waiting job, as soon as it knows it; computed anew. */
  async explained(id: VideoId): Promise<Explanation> {
    const endMs = performance.now() + WAIT_MS;
    for (;;) {
      this.nowMs += 1_000;
      const explanation = this.#loop.explain(id);
      if (explanation.position !== null) return explanation;
      if (performance.now() > endMs) throw new Error(`${id} does not wait`);
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  /** Waits for something that a dispatch, or a request to stop, makes true. */
  async until(holds: () => boolean): Promise<void> {
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(() => reject(new Error(`waited ${WAIT_MS} ms in vain`)), WAIT_MS);
    try {
      while (!holds()) await Promise.race([tooLate, new Promise<void>((resolve) => this.#waiters.add(resolve))]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The runner finishes it; each stage takes as long as said. */
  async finish({ job }: Dispatched, stages: Readonly<Partial<Record<Stage, number>>> = {}): Promise<void> {
    const lease = { job: job.id, epoch: job.epoch };
    for (const [stage, ms] of Object.entries(stages)) {
      this.#loop.staged(lease, stage as Stage);
      this.nowMs += ms;
    }
    const event = {
      kind: "finished",
      epoch: job.epoch,
      artifact: anArtifact(),
      artifactKey: "jobs/x/1/a.mp4",
    } as const;
    const times = this.#loop.stageTimes(lease, "finished");
    const moved = await recordEnd(this.#studio.sql, lease, event, { stages: times });
    if (!moved.ok) throw new Error(`the end was refused: ${moved.refusal}`);
    this.#loop.wake();
  }

  /** The admin API on another replica: this leader learns of a change from the database only. */
  async admin(
    method: string,
    path: string,
    body?: unknown,
  ): Promise<{ readonly status: number; readonly body: unknown }> {
    return callAdmin(this.#studio, method, path, body);
  }

  #heard<Value>(list: Value[], value: Value): void {
    list.push(value);
    for (const wake of this.#waiters) wake();
    this.#waiters.clear();
  }
}

export async function callAdmin(
  studio: Studio,
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<{ readonly status: number; readonly body: unknown }> {
  const response = await requestAdmin(studio, method, path, body, headers);
  return { status: response.status, body: await response.json() };
}

export async function requestAdmin(
  studio: Studio,
  method: string,
  path: string,
  body?: unknown,
  headers: Readonly<Record<string, string>> = {},
): Promise<Response> {
  return anAdminApp(studio).request(`/admin/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

export function anAdminApp(studio: Studio) {
  return adminApp({
    database: studio.database,
    limits: PRODUCTION_LIMITS,
    tokens: [{ name: "test", token: ADMIN_TOKEN }],
    keyEnv: "dev",
    randomBytes: (count) => new Uint8Array(count),
    runnerStates: () => new Map(),
    keyRevoked: () => undefined,
    termsChanged: () => undefined,
    scraped: async () => ({ type: "text/plain", text: "" }),
  });
}
