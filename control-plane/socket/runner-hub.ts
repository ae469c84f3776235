/**
 * All runners of the leader: who is connected, who may redial, where to send work.
 *
 * A runner is *connected* from its hello to the close of its socket. Then it has `REDIAL_GRACE_MS` to come back with its
 * leases; if it does not, its jobs are given to others. A hello that misses a lease means that the runner restarted and
 * lost that attempt, so the job goes back at once.
 */
import type { Logger } from "pino";
import type { Cancel, Clock } from "#control-plane/core/clock.ts";
import type { WebSocket } from "ws";
import type { RunnerTerms } from "#control-plane/core/scheduler/event.ts";
import type { RunnerId } from "#protocol/id.ts";
import { FromRunner, leaseName, REDIAL_GRACE_MS } from "#protocol/runner.ts";
import type { LeaseRef } from "#protocol/runner.ts";
import { runnerTermsOf } from "#control-plane/usecase/lead.ts";
import { RunnerSession } from "./runner-session.ts";
import type { Assignment, Hello, RunnerWork, SessionHost } from "./runner-session.ts";

interface HeldLease extends LeaseRef {
  readonly state: string;
}

/** What the hub tells and asks beyond one session. */
export interface HubHost extends RunnerWork {
  register(hello: Hello): Promise<void>;
  /** Leases that Postgres knows for this runner. */
  heldBy(runner: RunnerId): Promise<readonly HeldLease[]>;
  lost(lease: LeaseRef): Promise<void>;
  up(runner: RunnerTerms): void;
  down(runner: RunnerId): void;
}

const HELLO_WAIT_MS = 5_000;
const CLOSE_NOT_LEADER = 4_200;
const CLOSE_REPLACED = 4_009;
const RUNNERS_MAX = 1_024;

export class RunnerHub {
  readonly #host: HubHost;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #sessions = new Map<RunnerId, RunnerSession>();
  readonly #graces = new Map<RunnerId, Cancel>();
  #leading = false;

  constructor(host: HubHost, { clock, log }: SessionHost) {
    this.#host = host;
    this.#clock = clock;
    this.#log = log;
  }

  /** Only the leader keeps runner sockets. */
  open(): void {
    this.#leading = true;
  }

  close(reason: string): void {
    this.#leading = false;
    for (const cancel of this.#graces.values()) cancel();
    this.#graces.clear();
    for (const session of this.#sessions.values()) session.close(CLOSE_NOT_LEADER, reason);
    this.#sessions.clear();
  }

  /** A socket whose bearer token was checked. The first frame must be a hello. */
  accept(socket: WebSocket): void {
    if (!this.#leading || this.#sessions.size >= RUNNERS_MAX) {
      return socket.close(CLOSE_NOT_LEADER, "this replica does not lead; try the next address");
    }
    const cancelWait = this.#clock.after(HELLO_WAIT_MS, () => socket.terminate());
    let session: Promise<RunnerSession | null> | null = null;
    socket.on("message", (data, isBinary) => {
      const text = !isBinary && Buffer.isBuffer(data) ? data.toString("utf8") : "";
      if (session === null) {
        cancelWait();
        session = this.#greet(text, socket);
        return;
      }
      session.then(
        (ready) => ready?.receive(text, () => this.#host.down(ready.hello.runner)),
        () => {},
      );
    });
    socket.on("error", (error) => this.#log.info({ err: error }, "runner socket error"));
    socket.on("close", () => {
      cancelWait();
      session?.then(
        (ready) => ready !== null && this.#closed(ready),
        () => {},
      );
    });
  }

  assign(runner: RunnerId, assignment: Assignment): void {
    const session = this.#sessions.get(runner);
    if (session !== undefined) return session.assign(assignment);
    this.#host.notTaken(assignment.lease).catch((error: unknown) => {
      this.#log.warn({ ...assignment.lease, err: error }, "an assignment without a runner could not be taken back");
    });
  }

  stop(runner: RunnerId, lease: LeaseRef, why: "preempt" | "cancel"): void {
    this.#sessions.get(runner)?.stop(lease, why);
  }

  /** Connected runners, for the admin. */
  states(): ReadonlyMap<RunnerId, "connected" | "draining"> {
    return new Map([...this.#sessions].map(([id, session]) => [id, session.draining ? "draining" : "connected"]));
  }

  async #greet(text: string, socket: WebSocket): Promise<RunnerSession | null> {
    try {
      const hello = FromRunner.parse(JSON.parse(text));
      if (hello.t !== "hello") throw new Error(`expected a hello, got ${hello.t}`);
      await this.#host.register(hello);
      await this.#reconcile(hello);
      if (!this.#leading || socket.readyState !== socket.OPEN) {
        socket.close(CLOSE_NOT_LEADER, "this replica leads no more");
        return null;
      }
      return await this.#admit(hello, socket);
    } catch (error) {
      this.#log.warn({ err: error }, "a runner's hello was refused");
      socket.close(1_008, "bad hello");
      return null;
    }
  }

  /** Compares what the runner holds with what Postgres says it holds. */
  async #reconcile(hello: Hello): Promise<void> {
    const alive = new Set(hello.leases.map(leaseName));
    for (const held of await this.#host.heldBy(hello.runner)) {
      if (!alive.has(leaseName(held))) await this.#host.lost(held);
    }
  }

  async #admit(hello: Hello, socket: WebSocket): Promise<RunnerSession> {
    const { runner } = hello;
    this.#graces.get(runner)?.();
    this.#graces.delete(runner);
    this.#sessions.get(runner)?.close(CLOSE_REPLACED, "the runner dialled again");
    const session = new RunnerSession(hello, socket, this.#host, { clock: this.#clock, log: this.#log });
    this.#sessions.set(runner, session);
    try {
      await this.#welcome(session);
    } catch (error) {
      this.#closed(session);
      throw error;
    }
    this.#host.up(runnerTermsOf({ id: runner, build: hello.build, models: hello.models, devices: hello.devices }));
    return session;
  }

  /** Renews what the runner holds, and tells it what is over or to be cancelled. */
  async #welcome(session: RunnerSession): Promise<void> {
    const { runner, devices, leases } = session.hello;
    const { renewed, stale } = await this.#host.heartbeat(runner, leases);
    for (const lease of stale) session.stale(lease);
    for (const held of await this.#host.heldBy(runner)) {
      if (held.state === "cancelling") session.stop({ job: held.job, epoch: held.epoch }, "cancel");
    }
    this.#log.info({ runner, devices: devices.length, leases: renewed.length }, "runner connected");
  }

  #closed(session: RunnerSession): void {
    const { runner } = session.hello;
    session.dispose();
    if (this.#sessions.get(runner) !== session) return; // Replaced, or this replica stepped down.
    this.#sessions.delete(runner);
    this.#host.down(runner);
    this.#graces.set(
      runner,
      this.#clock.after(REDIAL_GRACE_MS, () => {
        this.#graces.delete(runner);
        this.#giveUp(runner).catch((error: unknown) =>
          this.#log.warn({ runner, err: error }, "a lost runner's jobs could not be taken back; the sweep will"),
        );
      }),
    );
  }

  async #giveUp(runner: RunnerId): Promise<void> {
    const held = await this.#host.heldBy(runner);
    this.#log.warn({ runner, leases: held.length }, "runner lost");
    for (const lease of held) await this.#host.lost(lease);
  }
}
