/**
 * All runners of the leader: who is connected, who may redial, where to send work.
 *
 * A runner is *connected* from its hello to the close of its socket. It may dial beside a socket that is mute: the newer hello
 * replaces the older socket, which is believed no more from then on. Closed, it has `REDIAL_GRACE_MS` to come back with its
 * leases; if it does not, its jobs are given to others. A hello that misses a lease means that the runner restarted and
 * lost that attempt, so the job goes back at once. A runner whose secret is revoked is *expelled*: no grace, its jobs go
 * back at once.
 */
import type { Cancel } from "#control-plane/core/clock.ts";
import type { WebSocket } from "ws";
import type { RunnerTerms } from "#control-plane/core/scheduler/event.ts";
import type { RunnerId, Sha256Hex } from "#protocol/id.ts";
import {
  CLOSE_NOT_LEADER,
  CLOSE_REPLACED,
  CLOSE_REVOKED,
  FromRunner,
  leaseName,
  REDIAL_GRACE_MS,
} from "#protocol/runner.ts";
import type { LeaseRef } from "#protocol/runner.ts";
import type { RunnerStanding } from "#control-plane/usecase/administer.ts";
import { runnerTermsOf } from "#control-plane/usecase/lead.ts";
import type { RunnerCredential } from "#control-plane/usecase/runner-identity.ts";
import { RunnerSession, UNANSWERED_MAX } from "./runner-session.ts";
import type { Assignment, Hello, RunnerWork, SessionHost } from "./runner-session.ts";

interface HeldLease extends LeaseRef {
  readonly state: string;
}

/** What the hub tells and asks beyond one session. */
export interface HubHost extends RunnerWork {
  register(hello: Hello): Promise<void>;
  /** Whether it is still the runner's secret. */
  trusts(credential: RunnerCredential): Promise<boolean>;
  /** Leases that Postgres knows for this runner. */
  heldBy(runner: RunnerId): Promise<readonly HeldLease[]>;
  /** The runner is gone, and these leases with it. */
  lost(runner: RunnerId, leases: readonly LeaseRef[]): Promise<void>;
  up(runner: RunnerTerms): void;
  down(runner: RunnerId): void;
}

const HELLO_WAIT_MS = 5_000;
const CLOSE_TRY_LATER = 1_013;
const RUNNERS_MAX = 1_024;
const DEAF_REST_MS_MIN = 30_000;
const DEAF_REST_MS_MAX = 300_000;
const DEAF_DOUBLINGS_MAX = 10;

export class RunnerHub {
  readonly #host: HubHost;
  readonly #own: SessionHost;
  readonly #leaderUrl: () => string | null;
  readonly #sessions = new Map<RunnerId, RunnerSession>();
  /** Assignments in a row that a runner did not answer, over all its sockets. */
  readonly #unanswered = new Map<RunnerId, number>();
  readonly #graces = new Map<RunnerId, Cancel>();
  #leading = false;

  /** `leaderUrl`: where another replica leads, which a runner that dialled this one is sent to. */
  constructor(host: HubHost, leaderUrl: () => string | null, own: SessionHost) {
    this.#host = host;
    this.#leaderUrl = leaderUrl;
    this.#own = own;
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
    this.#unanswered.clear();
    this.#sessions.clear();
    this.#showConnected();
  }

  /** A socket whose secret was checked. The first frame must be a hello, of the runner that the secret names. */
  accept(socket: WebSocket, credential: RunnerCredential): void {
    // The reason is where to dial next, if that is known.
    if (!this.#leading) return socket.close(CLOSE_NOT_LEADER, this.#leaderUrl() ?? "nobody leads yet; try again");
    if (this.#sessions.size >= RUNNERS_MAX) return socket.close(CLOSE_TRY_LATER, `more than ${RUNNERS_MAX} runners`);
    const cancelWait = this.#own.clock.after(HELLO_WAIT_MS, () => socket.terminate());
    let session: Promise<RunnerSession | null> | null = null;
    socket.on("message", (data, isBinary) => {
      const text = !isBinary && Buffer.isBuffer(data) ? data.toString("utf8") : "";
      if (session === null) {
        cancelWait();
        session = this.#greet(text, socket, credential);
        return;
      }
      session.then(
        (ready) => ready?.receive(text),
        () => {},
      );
    });
    socket.on("error", (error) => this.#own.log.info({ err: error }, "runner socket error"));
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
    this.#takeBack(assignment.lease);
  }

  /** The secrets that count now: whoever speaks with another one is cut off, and loses its work. */
  trust(secrets: ReadonlyMap<RunnerId, Sha256Hex>): void {
    for (const session of this.#sessions.values()) {
      const { runner, secretSha256 } = session.credential;
      if (secrets.get(runner) !== secretSha256) this.#expel(session);
    }
    for (const runner of this.#graces.keys()) if (!secrets.has(runner)) this.#endGrace(runner);
  }

  stop(runner: RunnerId, lease: LeaseRef, why: "preempt" | "cancel"): void {
    this.#sessions.get(runner)?.stop(lease, why);
  }

  /** Connected runners, for the admin. */
  states(): ReadonlyMap<RunnerId, RunnerStanding> {
    return new Map(
      [...this.#sessions].map(([id, { draining, telemetry }]) => [
        id,
        { state: draining ? "draining" : "connected", telemetry },
      ]),
    );
  }

  async #greet(text: string, socket: WebSocket, credential: RunnerCredential): Promise<RunnerSession | null> {
    try {
      const hello = FromRunner.parse(JSON.parse(text));
      if (hello.t !== "hello") throw new Error(`expected a hello, got ${hello.t}`);
      if (hello.runner !== credential.runner) throw new Error(`${credential.runner} says that it is ${hello.runner}`);
      await this.#host.register(hello);
      await this.#reconcile(hello);
      if (!this.#leading || socket.readyState !== socket.OPEN) {
        socket.close(CLOSE_NOT_LEADER, "this replica leads no more");
        return null;
      }
      return await this.#admit(hello, socket, credential);
    } catch (error) {
      this.#own.log.warn({ err: error }, "a runner's hello was refused");
      socket.close(1_008, "bad hello");
      return null;
    }
  }

  /**
   * Compares what the runner holds with what Postgres says it holds. Work that it was sent over its older socket and did not
   * acknowledge may never have reached it: that was not taken, it did not die of it.
   */
  async #reconcile(hello: Hello): Promise<void> {
    const alive = new Set(hello.leases.map(leaseName));
    const older = this.#sessions.get(hello.runner);
    const unheard = new Set(older?.unacknowledged.map(leaseName));
    const missing = (await this.#host.heldBy(hello.runner)).filter((lease) => !alive.has(leaseName(lease)));
    for (const lease of missing.filter((one) => unheard.has(leaseName(one)))) {
      await this.#host.notTaken(lease);
      older?.tookBack(lease);
    }
    await this.#host.lost(
      hello.runner,
      missing.filter((lease) => !unheard.has(leaseName(lease))),
    );
  }

  async #admit(hello: Hello, socket: WebSocket, credential: RunnerCredential): Promise<RunnerSession> {
    const { runner } = hello;
    this.#graces.get(runner)?.();
    this.#graces.delete(runner);
    this.#replace(hello);
    const terms = runnerTermsOf({ ...hello, id: runner });
    const own = () => this.#sessions.get(runner) === session;
    const events = {
      hearing: () => this.#mayWork(runner, () => own() && session.hearing && this.#host.up(terms)),
      resting: () => own() && this.#host.down(runner),
      unanswered: () => this.#doubt(runner),
      answered: () => this.#unanswered.delete(runner),
    };
    const session: RunnerSession = new RunnerSession(hello, credential, socket, this.#host, events, this.#own);
    this.#sessions.set(runner, session);
    this.#showConnected();
    try {
      // A revocation before the session stood in the list has not found it there.
      if (!(await this.#host.trusts(credential))) throw new Error("the runner's secret was revoked meanwhile");
      await this.#welcome(session);
    } catch (error) {
      this.#closed(session);
      throw error;
    }
    return session;
  }

  /** What was assigned over the older socket since the hello was reconciled, this one does not know. */
  #replace({ runner, leases }: Hello): void {
    const older = this.#sessions.get(runner);
    if (older === undefined) return;
    const alive = new Set(leases.map(leaseName));
    for (const lease of older.unacknowledged) if (!alive.has(leaseName(lease))) this.#takeBack(lease);
    older.close(CLOSE_REPLACED, "the runner dialled again");
    this.#own.log.info({ runner }, "runner dialled beside its socket, which is replaced");
  }

  #takeBack(lease: LeaseRef): void {
    this.#host.notTaken(lease).catch((error: unknown) => {
      this.#own.log.warn({ ...lease, err: error }, "an assignment that nobody heard could not be taken back");
    });
  }

  /** Renews what the runner holds, and tells it what is over or to be cancelled. */
  async #welcome(session: RunnerSession): Promise<void> {
    const { runner, devices, leases } = session.hello;
    const { renewed, stale } = await this.#host.heartbeat(runner, leases);
    session.holds(renewed);
    for (const lease of stale) session.stale(lease);
    for (const held of await this.#host.heldBy(runner)) {
      if (held.state === "cancelling") session.stop({ job: held.job, epoch: held.epoch }, "cancel");
    }
    this.#own.log.info({ runner, devices: devices.length, leases: renewed.length }, "runner connected");
  }

  #doubt(runner: RunnerId): number {
    const unanswered = (this.#unanswered.get(runner) ?? 0) + 1;
    this.#unanswered.set(runner, unanswered);
    return unanswered;
  }

  /** A runner that beats and takes no work is tried again and again, each time after twice as long. */
  #mayWork(runner: RunnerId, up: () => void): void {
    const over = (this.#unanswered.get(runner) ?? 0) - UNANSWERED_MAX;
    if (over < 0) return up();
    this.#own.clock.after(Math.min(DEAF_REST_MS_MAX, DEAF_REST_MS_MIN * 2 ** Math.min(over, DEAF_DOUBLINGS_MAX)), up);
  }

  #closed(session: RunnerSession): void {
    const { runner } = session.hello;
    session.dispose();
    if (this.#sessions.get(runner) !== session) return; // Replaced, or this replica stepped down.
    this.#sessions.delete(runner);
    this.#showConnected();
    this.#host.down(runner);
    this.#graces.set(
      runner,
      this.#own.clock.after(REDIAL_GRACE_MS, () => this.#endGrace(runner)),
    );
  }

  #expel(session: RunnerSession): void {
    const { runner } = session.hello;
    this.#own.log.warn({ runner }, "a runner's secret counts no more: it is cut off");
    session.expel(CLOSE_REVOKED, "the runner's secret counts no more");
    this.#closed(session);
    this.#endGrace(runner);
  }

  /** It does not come back, or not in time. */
  #endGrace(runner: RunnerId): void {
    this.#graces.get(runner)?.();
    this.#graces.delete(runner);
    this.#giveUp(runner).catch((error: unknown) =>
      this.#own.log.warn({ runner, err: error }, "a lost runner's jobs could not be taken back; the sweep will"),
    );
  }

  async #giveUp(runner: RunnerId): Promise<void> {
    const held = await this.#host.heldBy(runner);
    this.#own.log.warn({ runner, leases: held.length }, "runner lost");
    await this.#host.lost(runner, held);
  }

  #showConnected(): void {
    this.#own.meter.show("runners_connected", this.#sessions.size);
  }
}
