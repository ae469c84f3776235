/**
 * The runner's side of the protocol as one pure function: `(session, input, now) → { session, effects }`.
 *
 * The link is down → greeting (hello sent) → up (welcome heard). A hello over another socket leaves the link up, and its welcome
 * moves it there. Attempts outlive links. Times are monotonic milliseconds.
 * Promises: no two runs of one lease; nothing is sent for a lease after it went stale or ran out; what must be recorded is
 * repeated over every new link until it is.
 */
import type { DeviceId, Sha256Hex } from "#protocol/id.ts";
import { leaseName } from "#protocol/runner.ts";
import type { DeviceTelemetry, FromRunner, LeaseRef, RunError, ToRunner } from "#protocol/runner.ts";
import {
  type Attempt,
  beginAttempt,
  type Effect,
  type EngineReport,
  onEngine,
  onRecorded,
  onStop,
  onStopOverdue,
  onUploaded,
  onUploadUrl,
  resay,
  type Turn,
  type UploadFailure,
} from "./attempt.ts";
import { isSpent, spend, type Spent } from "./spent.ts";

export type Identity = Omit<Extract<FromRunner, { t: "hello" }>, "t" | "leases">;

export interface Session {
  readonly identity: Identity;
  readonly link: "down" | "greeting" | "up";
  readonly heartbeatMs: number;
  readonly nextBeatMs: number;
  /** Heartbeats that were not answered yet, oldest first: a lease is renewed from when its beat was *sent*. */
  readonly beats: readonly Beat[];
  readonly beatsSent: number;
  readonly attempts: readonly Attempt[];
  readonly spent: Spent;
  readonly draining: { readonly untilMs: number } | null;
  readonly exited: boolean;
}

interface Beat {
  readonly beat: number;
  readonly sentMs: number;
}

export type Input =
  | { readonly t: "opened" }
  | { readonly t: "closed" }
  | { readonly t: "frame"; readonly frame: ToRunner }
  | { readonly t: "tick" }
  | { readonly t: "drain"; readonly withinMs: number }
  | { readonly t: "telemetry"; readonly devices: readonly DeviceTelemetry[] }
  /** Devices are broken: what runs there has failed, and the rest goes elsewhere while the runner is restarted. */
  | {
      readonly t: "broken";
      readonly devices: readonly DeviceId[];
      readonly error: RunError;
      readonly withinMs: number;
    }
  | { readonly t: "engine"; readonly lease: LeaseRef; readonly report: EngineReport }
  /** A PUT ended; `failure` says why it did not work. */
  | {
      readonly t: "uploaded";
      readonly lease: LeaseRef;
      readonly sha256: Sha256Hex;
      readonly failure: UploadFailure | null;
    };

type Assign = Extract<ToRunner, { t: "assign" }>;
type RefusedFrame = Extract<FromRunner, { t: "refused" }>;

export interface Step {
  readonly session: Session;
  readonly effects: readonly Effect[];
}

export const UNANSWERED_BEATS_MAX = 3;

export function newSession(identity: Identity, heartbeatMs: number): Session {
  return {
    identity,
    link: "down",
    heartbeatMs,
    nextBeatMs: 0,
    beats: [],
    beatsSent: 0,
    attempts: [],
    spent: [],
    draining: null,
    exited: false,
  };
}

export function step(session: Session, input: Input, nowMs: number): Step {
  if (session.exited) return { session, effects: [] };
  const alive = dropExpired(session, nowMs);
  const reacted = react(alive.session, input, nowMs);
  return leaveIfDrained({ session: reacted.session, effects: [...alive.effects, ...reacted.effects] }, nowMs);
}

/**
 * The one place where leases run out, before anything else in every step: after a pause of the whole process the first
 * input may be anything, and nothing may be said or sent under a lease that ended meanwhile.
 */
function dropExpired(session: Session, nowMs: number): Step {
  if (session.attempts.every((attempt) => nowMs < attempt.leaseUntilMs)) return { session, effects: [] };
  const dropped = turnAttempts(session, abandon, (attempt) => nowMs >= attempt.leaseUntilMs);
  // Where beats arrive and their answers do not, the leases would be kept over there: the next hello says what is left here.
  const isMute = session.link === "up" && session.beats.length > 1;
  const redial: Effect[] = isMute ? [{ t: "redial" }] : [];
  return { session: dropped.session, effects: [...dropped.effects, ...redial] };
}

function react(session: Session, input: Input, nowMs: number): Step {
  switch (input.t) {
    case "opened":
      return greet(session);
    case "closed":
      return { session: { ...session, link: "down", beats: [] }, effects: [] };
    case "frame":
      return onFrame(session, input.frame, nowMs);
    case "tick":
      return onTick(session, nowMs);
    case "drain":
      return drain(session, nowMs + input.withinMs);
    case "telemetry": {
      const effect: Effect = { t: "send", frame: { t: "telemetry", devices: [...input.devices] } };
      return { session, effects: session.link === "up" ? [effect] : [] };
    }
    case "broken": {
      const failed = turnAttempts(session, broke(input.error), isOn(input.devices));
      const drained = drain(failed.session, nowMs + input.withinMs);
      return { session: drained.session, effects: [...failed.effects, ...drained.effects] };
    }
    case "engine":
      return onAttempt(session, input.lease, (attempt, up) => onEngine(attempt, input.report, up));
    case "uploaded":
      return onAttempt(session, input.lease, (attempt, up) => onUploaded(attempt, input.sha256, input.failure, up));
    default:
      return input satisfies never;
  }
}

function greet(session: Session): Step {
  const leases = session.attempts.map(({ lease, devices }) => ({ ...lease, devices: [...devices] }));
  const hello = { t: "hello", ...session.identity, leases } as const;
  const link = session.link === "up" ? "up" : "greeting";
  return { session: { ...session, link }, effects: [{ t: "send", frame: hello }] };
}

function onFrame(session: Session, frame: ToRunner, nowMs: number): Step {
  switch (frame.t) {
    case "welcome":
      return welcomed(session, frame.heartbeat_ms, nowMs);
    case "assign":
      return assigned(session, frame, nowMs);
    case "renewed":
      return renewed(session, frame);
    case "upload_url":
      return onAttempt(session, frame.lease, (attempt) => onUploadUrl(attempt, frame.kind, frame.sha256, frame.url));
    case "recorded":
      return onAttempt(session, frame.lease, (attempt, up) => onRecorded(attempt, frame.what, frame.sha256, up));
    case "stale":
      return endUpTo(session, frame.lease);
    case "stop":
      return onAttempt(session, frame.lease, (attempt) => onStop(attempt, frame.why, nowMs + frame.deadline_ms));
    default:
      return frame satisfies never;
  }
}

function welcomed(session: Session, heartbeatMs: number, nowMs: number): Step {
  const up: Session = { ...session, link: "up", heartbeatMs, beats: [] };
  // The beat first: what is said again may be what this socket is cut for, while the store fails, and no lease is to end of that.
  const beat = sendBeat(up, nowMs);
  const again = everyAttempt(beat.session, resay);
  const draining: Effect[] = session.draining === null ? [] : [{ t: "send", frame: { t: "draining" } }];
  return { session: again.session, effects: [...draining, ...beat.effects, ...again.effects] };
}

/** Who asks for room that is not there thinks that something is over which is not over here: a beat at once, and both know. */
function refuse(session: Session, lease: LeaseRef, reason: RefusedFrame["reason"], nowMs: number): Step {
  const refused: Effect = { t: "send", frame: { t: "refused", lease, reason } };
  const known = { ...session, spent: spend(session.spent, lease) };
  if (reason !== "busy" || isSpent(session.spent, lease) || known.link !== "up")
    return { session: known, effects: [refused] };
  const beat = sendBeat(known, nowMs);
  return { session: beat.session, effects: [refused, ...beat.effects] };
}

function assigned(session: Session, frame: Assign, nowMs: number): Step {
  const { lease, devices, spec, resume } = frame;
  const known = session.attempts.find((attempt) => attempt.lease.job === lease.job);
  if (known?.lease.epoch === lease.epoch) return { session, effects: [{ t: "send", frame: { t: "accepted", lease } }] };
  // A newer epoch of the same job says that the older attempt here is over, whether or not the new one is taken.
  const cleared = endUpTo(session, { ...lease, epoch: lease.epoch - 1 });
  const reason = isSpent(session.spent, lease) ? "busy" : whyNot(cleared.session, frame);
  if (reason !== null) {
    const refused = refuse(cleared.session, lease, reason, nowMs);
    return { session: refused.session, effects: [...cleared.effects, ...refused.effects] };
  }
  const attempt = beginAttempt(lease, devices, resume?.step ?? 0, nowMs + frame.lease_ms, spec.stop_after !== null);
  return {
    session: { ...cleared.session, attempts: [...cleared.session.attempts, attempt] },
    effects: [
      ...cleared.effects,
      { t: "send", frame: { t: "accepted", lease } },
      { t: "run", lease, devices, spec, resume },
    ],
  };
}

function whyNot(session: Session, { devices, spec }: Assign): RefusedFrame["reason"] | null {
  if (session.draining !== null) return "draining";
  if (!session.identity.models.includes(spec.model)) return "unknown_model";
  return hasRoom(session, devices) ? null : "busy";
}

/** A device takes one gang, or as many single-device attempts as it has slots. Those that only upload hold none. */
function hasRoom({ identity, attempts }: Session, wanted: readonly DeviceId[]): boolean {
  return wanted.every((id) => {
    const device = identity.devices.find((own) => own.id === id);
    const there = attempts.filter((attempt) => attempt.rendering && attempt.devices.includes(id));
    if (device === undefined || there.some((attempt) => attempt.devices.length > 1)) return false;
    return there.length < (wanted.length > 1 ? 1 : device.slots);
  });
}

/** The answer to one beat; older unanswered ones were lost. An answer that comes twice, or from another link, is to none. */
function renewed(session: Session, { beat, leases, lease_ms: leaseMs }: Extract<ToRunner, { t: "renewed" }>): Step {
  const names = leases.map(leaseName);
  const at = session.beats.findIndex((sent) => sent.beat === beat);
  const answered = session.beats[at];
  if (answered === undefined) return { session, effects: [] };
  const attempts = session.attempts.map((attempt) =>
    names.includes(leaseName(attempt.lease))
      ? { ...attempt, leaseUntilMs: Math.max(attempt.leaseUntilMs, answered.sentMs + leaseMs) }
      : attempt,
  );
  return { session: { ...session, attempts, beats: session.beats.slice(at + 1) }, effects: [] };
}

function onTick(session: Session, nowMs: number): Step {
  const swept = everyAttempt(session, (attempt, up) => {
    const overdue = attempt.stopping !== null && nowMs >= attempt.stopping.untilMs;
    return overdue ? onStopOverdue(attempt, up) : { attempt, effects: [] };
  });
  if (swept.session.link !== "up" || nowMs < swept.session.nextBeatMs) return swept;
  if (swept.session.beats.length >= UNANSWERED_BEATS_MAX) {
    return { session: { ...swept.session, beats: [] }, effects: [...swept.effects, { t: "redial" }] };
  }
  const beat = sendBeat(swept.session, nowMs);
  return { session: beat.session, effects: [...swept.effects, ...beat.effects] };
}

function sendBeat(session: Session, nowMs: number): Step {
  const leases = session.attempts.map((attempt) => attempt.lease);
  const beat = session.beatsSent;
  return {
    session: {
      ...session,
      beats: [...session.beats, { beat, sentMs: nowMs }],
      beatsSent: beat + 1,
      nextBeatMs: nowMs + session.heartbeatMs,
    },
    effects: [{ t: "send", frame: { t: "heartbeat", beat, leases } }],
  };
}

function drain(session: Session, untilMs: number): Step {
  if (session.draining !== null) return { session, effects: [] };
  const stopped = everyAttempt({ ...session, draining: { untilMs } }, (attempt) => onStop(attempt, "drain", untilMs));
  const said: Effect[] = session.link === "up" ? [{ t: "send", frame: { t: "draining" } }] : [];
  return { session: stopped.session, effects: [...said, ...stopped.effects] };
}

function isOn(devices: readonly DeviceId[]): (attempt: Attempt) => boolean {
  return (attempt) => attempt.rendering && attempt.devices.some((id) => devices.includes(id));
}

function broke(error: RunError): Act {
  return (attempt, up) => {
    const turn = onEngine(attempt, { t: "failed", error }, up);
    return { ...turn, effects: [{ t: "kill", lease: attempt.lease }, ...turn.effects] };
  };
}

function leaveIfDrained({ session, effects }: Step, nowMs: number): Step {
  if (session.draining === null || (session.attempts.length > 0 && nowMs < session.draining.untilMs)) {
    return { session, effects };
  }
  const kills = session.attempts.map(({ lease }): Effect => ({ t: "kill", lease }));
  return { session: { ...session, attempts: [], exited: true }, effects: [...effects, ...kills, { t: "exit" }] };
}

function abandon({ lease }: Attempt): Turn {
  return {
    attempt: null,
    effects: [
      { t: "kill", lease },
      { t: "forget", lease },
    ],
  };
}

/** Whatever is older than a lease that is over is over too; noted even if that came before the assign of the lease. */
function endUpTo(session: Session, lease: LeaseRef): Step {
  return turnAttempts(
    { ...session, spent: spend(session.spent, lease) },
    abandon,
    (attempt) => attempt.lease.job === lease.job && attempt.lease.epoch <= lease.epoch,
  );
}

type Act = (attempt: Attempt, up: boolean) => Turn;

function onAttempt(session: Session, lease: LeaseRef, act: Act): Step {
  return turnAttempts(
    session,
    act,
    (attempt) => attempt.lease.job === lease.job && attempt.lease.epoch === lease.epoch,
  );
}

function everyAttempt(session: Session, act: Act): Step {
  return turnAttempts(session, act, () => true);
}

function turnAttempts(session: Session, act: Act, chosen: (attempt: Attempt) => boolean): Step {
  const effects: Effect[] = [];
  const attempts: Attempt[] = [];
  let { spent } = session;
  for (const attempt of session.attempts) {
    const turn = chosen(attempt) ? act(attempt, session.link === "up") : { attempt, effects: [] };
    effects.push(...turn.effects);
    if (turn.attempt === null) spent = spend(spent, attempt.lease);
    else attempts.push(turn.attempt);
  }
  return { session: { ...session, attempts, spent }, effects };
}
