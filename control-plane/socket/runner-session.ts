/**
 * One runner's socket after its `hello`: frames in order, one at a time, and the acknowledgements that are due.
 *
 * greeted → hearing ⇄ doubted or silent → cut. A runner *hears* when it beats, which it does only once it was welcomed; then it
 * is given work, until a beat stays out: it may be frozen or cut off, and its jobs go on only if it beats in time. It is *doubted* after an assignment that it does not acknowledge, until it answers a ping; after the second in a row,
 * which may have been on an earlier socket, this one is cut. The session decides nothing about jobs: it turns frames into calls of `RunnerWork`.
 *
 * A frame counts only if its lease is one that this runner *holds*: assigned on this socket, or confirmed by Postgres as its
 * own. So no runner speaks for another, whatever job and epoch it names; that the epoch is current is checked behind it.
 */
import type { Logger } from "pino";
import type { Cancel, Clock } from "#control-plane/core/clock.ts";
import type { Meter } from "#control-plane/core/meter.ts";
import type { WebSocket } from "ws";
import type { DeviceId, RunnerId, Sha256Hex } from "#protocol/id.ts";
import type { RunnerCredential } from "#control-plane/usecase/runner-identity.ts";
import { ASSIGN_ACK_MS, FromRunner, HEARTBEAT_MS, leaseName, LEASE_MS } from "#protocol/runner.ts";
import type { DeviceTelemetry, LeaseRef, Resume, RunSpec, ToRunner } from "#protocol/runner.ts";

type Frame<Kind extends FromRunner["t"]> = Extract<FromRunner, { t: Kind }>;
export type Hello = Frame<"hello">;
export type Recorded = "recorded" | "stale";

/** What a session asks of the control plane. */
export interface RunnerWork {
  heartbeat(
    runner: RunnerId,
    leases: readonly LeaseRef[],
  ): Promise<{ readonly renewed: readonly LeaseRef[]; readonly stale: readonly LeaseRef[] }>;
  report(frame: Frame<"step"> | Frame<"stage">): void;
  uploadUrl(frame: Frame<"upload">): string;
  checkpoint(frame: Frame<"checkpoint">): Promise<Recorded>;
  finished(frame: Frame<"finished">): Promise<Recorded>;
  failed(frame: Frame<"failed">): Promise<Recorded>;
  stopped(frame: Frame<"stopped">): Promise<Recorded>;
  notTaken(lease: LeaseRef): Promise<void>;
  refused(lease: LeaseRef, reason: Extract<FromRunner, { t: "refused" }>["reason"]): Promise<void>;
  /** A stop that the runner did not confirm in time. */
  stopOverdue(lease: LeaseRef): Promise<void>;
}

export interface Assignment {
  readonly lease: LeaseRef;
  readonly devices: readonly DeviceId[];
  readonly spec: RunSpec;
  readonly resume: Resume | null;
}

/** Frames waiting to be handled; a runner that sends faster than Postgres commits is cut and redials. */
const INBOUND_FRAMES_MAX = 1_000;
/** How long a runner may take to the next step boundary before it ends the engine by force. */
const STOP_DEADLINE_MS = { cancel: 10_000, preempt: 60_000 } as const;
/** After the runner's own deadline; then the lease is taken back. */
const STOP_OVERDUE_MS = 5_000;
/** Nobody who beats is so late; what such a runner were given would come back only after its acknowledgement is overdue. */
const SILENT_MS = 1.5 * HEARTBEAT_MS;
/** How long a peer that was cut off may take to close. */
const EXPELLED_CLOSE_MS = 1_000;
/** Assignments in a row without an answer after which a socket is of no use, whatever it sends. */
export const UNANSWERED_MAX = 2;

export interface SessionHost {
  readonly clock: Clock;
  readonly log: Logger;
  readonly meter: Meter;
}

/** What becomes of the runner as a whole. */
export interface SessionEvents {
  /** It may be given work. */
  hearing(): void;
  /** It may not, for now: it does not hear, or it drains. */
  resting(): void;
  /** It did not acknowledge an assignment: how many in a row that makes. */
  unanswered(): number;
  answered(): void;
}

type Timers = Map<string, { readonly cancel: Cancel }>;

export class RunnerSession {
  readonly hello: Hello;
  readonly credential: RunnerCredential;
  draining = false;
  /** As it told last. */
  telemetry: readonly DeviceTelemetry[] = [];
  #hearing = false;
  #doubted = false;
  readonly #socket: WebSocket;
  readonly #work: RunnerWork;
  readonly #events: SessionEvents;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #meter: Meter;
  readonly #acks = new Map<string, { readonly lease: LeaseRef; readonly cancel: Cancel }>();
  readonly #stops = new Map<string, { readonly cancel: Cancel }>();
  #cancelSilence: Cancel = () => undefined;
  readonly #held = new Set<string>();
  /** Cut off by the operator: what still arrives is dropped. */
  #expelled = false;
  #queued = 0;
  #over = false;
  #tail: Promise<void> = Promise.resolve();

  constructor(
    hello: Hello,
    credential: RunnerCredential,
    socket: WebSocket,
    work: RunnerWork,
    events: SessionEvents,
    { clock, log, meter }: SessionHost,
  ) {
    this.hello = hello;
    this.credential = credential;
    this.#socket = socket;
    this.#work = work;
    this.#events = events;
    this.#clock = clock;
    this.#meter = meter;
    this.#log = log.child({ runner: hello.runner });
    socket.on("pong", () => {
      if (!this.#doubted) return;
      this.#doubted = false;
      this.#hears();
    });
    this.send({ t: "welcome", lease_ms: LEASE_MS, heartbeat_ms: HEARTBEAT_MS });
  }

  receive(text: string): void {
    if (++this.#queued > INBOUND_FRAMES_MAX) return this.#socket.terminate();
    this.#tail = this.#tail.then(async () => {
      if (this.#expelled) return;
      try {
        // What came over a socket that another one replaced is said again over that one.
        if (!this.#over) await this.#handle(FromRunner.parse(JSON.parse(text)));
      } catch (error) {
        // A broken frame or a database fault: the runner keeps its unacknowledged messages and redials.
        this.#log.warn({ err: error }, "a runner's frame could not be handled; closing its socket");
        this.#socket.terminate();
      } finally {
        this.#queued--;
      }
    });
  }

  assign(assignment: Assignment): void {
    const { lease, devices, spec, resume } = assignment;
    this.#held.add(leaseName(lease));
    this.send({ t: "assign", lease, devices: [...devices], lease_ms: LEASE_MS, spec, resume });
    const cancel = this.#clock.after(ASSIGN_ACK_MS, () => {
      this.#doubt();
      this.#overdue(this.#acks, lease, () => this.#work.notTaken(lease));
    });
    this.#acks.set(leaseName(lease), { lease, cancel });
  }

  get hearing(): boolean {
    return this.#hearing;
  }

  /** Assigned and not acknowledged: the runner may never have heard of them. */
  get unacknowledged(): readonly LeaseRef[] {
    return [...this.#acks.values()].map(({ lease }) => lease);
  }

  /** The acknowledgement of this one is awaited no more. */
  tookBack(lease: LeaseRef): void {
    this.#clear(this.#acks, lease);
  }

  stop(lease: LeaseRef, why: "preempt" | "cancel"): void {
    if (this.#stops.has(leaseName(lease))) return;
    this.send({ t: "stop", lease, why, deadline_ms: STOP_DEADLINE_MS[why] });
    const cancel = this.#clock.after(STOP_DEADLINE_MS[why] + STOP_OVERDUE_MS, () =>
      this.#overdue(this.#stops, lease, () => this.#work.stopOverdue(lease)),
    );
    this.#stops.set(leaseName(lease), { cancel });
  }

  /** These are the runner's own, as Postgres says. */
  holds(leases: readonly LeaseRef[]): void {
    for (const lease of leases) this.#held.add(leaseName(lease));
  }

  stale(lease: LeaseRef): void {
    this.#settle(lease);
    this.#held.delete(leaseName(lease));
    this.send({ t: "stale", lease });
  }

  send(frame: ToRunner): void {
    this.#socket.send(JSON.stringify(frame));
  }

  close(code: number, reason: string): void {
    this.#over = true;
    this.dispose();
    this.#socket.close(code, reason);
  }

  /** The peer is not to be heard any more, and may not heed a close. */
  expel(code: number, reason: string): void {
    this.#expelled = true;
    this.close(code, reason);
    this.#clock.after(EXPELLED_CLOSE_MS, () => this.#socket.terminate());
  }

  /** After the socket closed: what is not acknowledged is left to the redial grace. */
  dispose(): void {
    this.#cancelSilence();
    for (const { cancel } of [...this.#acks.values(), ...this.#stops.values()]) cancel();
  }

  async #handle(frame: FromRunner): Promise<void> {
    // An acknowledgement says only that the runner hears, also one that comes late.
    if ("lease" in frame && frame.t !== "accepted" && !this.#held.has(leaseName(frame.lease))) {
      this.#meter.count("stale_frames_total", frame.t);
      return this.stale(frame.lease);
    }
    switch (frame.t) {
      case "hello":
        throw new Error("a second hello on one socket");
      case "heartbeat": {
        const { renewed, stale } = await this.#work.heartbeat(this.hello.runner, frame.leases);
        this.holds(renewed);
        this.send({ t: "renewed", beat: frame.beat, leases: [...renewed], lease_ms: LEASE_MS });
        for (const lease of stale) {
          this.#meter.count("stale_frames_total", "heartbeat");
          this.stale(lease);
        }
        if (!this.#doubted) this.#hears();
        this.#expectBeat();
        return;
      }
      case "accepted":
        return this.#acknowledged(frame.lease);
      case "refused":
        this.#acknowledged(frame.lease);
        this.#held.delete(leaseName(frame.lease));
        return this.#work.refused(frame.lease, frame.reason);
      case "stage":
      case "step":
        return this.#work.report(frame);
      case "upload":
        return this.send({
          t: "upload_url",
          lease: frame.lease,
          kind: frame.kind,
          sha256: frame.sha256,
          url: this.#work.uploadUrl(frame),
        });
      case "checkpoint":
        return this.#answer(frame.lease, "checkpoint", frame.sha256, await this.#work.checkpoint(frame));
      case "finished":
        return this.#end(frame.lease, "finished", frame.artifact.sha256, await this.#work.finished(frame));
      case "failed":
        return this.#end(frame.lease, "failed", null, await this.#work.failed(frame));
      case "stopped":
        return this.#end(frame.lease, "stopped", null, await this.#work.stopped(frame));
      case "telemetry":
        this.telemetry = frame.devices.filter(({ id }) => this.hello.devices.some((device) => device.id === id));
        return;
      case "draining":
        this.draining = true;
        return this.#events.resting();
      default:
        return frame satisfies never;
    }
  }

  #hears(): void {
    if (this.#hearing || this.draining) return;
    this.#hearing = true;
    this.#events.hearing();
  }

  #expectBeat(): void {
    this.#cancelSilence();
    if (this.#over) return;
    this.#cancelSilence = this.#clock.after(SILENT_MS, () => {
      if (!this.#hearing) return;
      this.#hearing = false;
      this.#log.info("a runner is silent and gets no more work until it beats");
      this.#events.resting();
    });
  }

  #doubt(): void {
    const unanswered = this.#events.unanswered();
    this.#meter.count("assignments_unanswered_total");
    this.#log.warn({ unanswered }, "a runner did not acknowledge its work");
    if (unanswered >= UNANSWERED_MAX) return this.#socket.terminate();
    this.#doubted = true;
    this.#hearing = false;
    this.#events.resting();
    this.#socket.ping();
  }

  #acknowledged(lease: LeaseRef): void {
    this.#doubted = false;
    this.#events.answered();
    this.#hears();
    this.#clear(this.#acks, lease);
  }

  #end(lease: LeaseRef, what: "finished" | "failed" | "stopped", sha256: Sha256Hex | null, outcome: Recorded): void {
    this.#settle(lease);
    this.#held.delete(leaseName(lease));
    this.#answer(lease, what, sha256, outcome);
  }

  #answer(
    lease: LeaseRef,
    what: Extract<ToRunner, { t: "recorded" }>["what"],
    sha256: Sha256Hex | null,
    outcome: Recorded,
  ): void {
    if (outcome === "stale") {
      this.#meter.count("stale_frames_total", what);
      return this.stale(lease);
    }
    this.send({ t: "recorded", lease, what, sha256 });
  }

  #overdue(timers: Timers, lease: LeaseRef, act: () => Promise<void>): void {
    timers.delete(leaseName(lease));
    act().catch((error: unknown) =>
      this.#log.warn({ ...lease, err: error }, "an overdue lease could not be taken back; the sweep will"),
    );
  }

  #settle(lease: LeaseRef): void {
    this.#held.delete(leaseName(lease));
    this.#clear(this.#acks, lease);
    this.#clear(this.#stops, lease);
  }

  #clear(timers: Timers, lease: LeaseRef): void {
    timers.get(leaseName(lease))?.cancel();
    timers.delete(leaseName(lease));
  }
}
