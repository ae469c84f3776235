/** The shell around the session core: one loop turn reads the clock once, steps the core, performs its effects. */
import { rm } from "node:fs/promises";
import type { Logger } from "pino";
import { HEARTBEAT_MS, type LeaseRef } from "#protocol/runner.ts";
import { type Effect } from "./core/attempt.ts";
import { type Identity, type Input, newSession, step } from "./core/session.ts";
import type { DeviceBay } from "./device.ts";
import type { EngineEvent } from "./engine.ts";
import type { Line, LineHost } from "./socket.ts";
import { isStorageFull, reasonOf } from "./storage-fault.ts";

const TICK_MS = 200;

/** What only the program knows: that it must go, how its devices are, that some of them broke. */
export type FromHost = Extract<Input, { t: "drain" | "telemetry" | "broken" }>;

export interface Runner {
  readonly feed: (input: FromHost) => void;
  /** After a drain, once nothing is left. */
  readonly ended: Promise<void>;
}

export interface RunnerHost {
  readonly dial: (host: LineHost) => Line;
  readonly bay: DeviceBay;
  readonly identity: Identity;
  readonly log: Logger;
  /** The first welcome was heard. */
  readonly greeted: () => void;
}

export function startRunner({ dial, bay, identity, log, greeted }: RunnerHost): Runner {
  let session = newSession(identity, HEARTBEAT_MS);
  let greet: (() => void) | null = greeted;
  const ended = Promise.withResolvers<void>();

  function feed(input: Input): void {
    const next = step(session, input, Math.floor(performance.now()));
    session = next.session;
    for (const effect of next.effects) perform(effect);
  }

  function perform(effect: Effect): void {
    switch (effect.t) {
      case "send":
        logSaid(log, effect.frame);
        return line.send(effect.frame);
      case "run":
        log.info({ ...effect.lease, devices: effect.devices, resume: effect.resume?.step ?? 0 }, "attempt begins");
        return bay.run(effect, (report) => {
          logReport(log, effect.lease, report);
          feed({ t: "engine", lease: effect.lease, report });
        });
      case "stop":
        log.info({ ...effect.lease, why: effect.why }, "attempt is asked to stop");
        return bay.stop(effect.lease, effect.why);
      case "kill":
        return bay.kill(effect.lease);
      case "upload":
        return upload(effect, { bay, log, feed });
      case "discard":
        return void rm(effect.path, { force: true }).catch((error: unknown) =>
          log.warn({ err: error }, "a checkpoint stays behind"),
        );
      case "forget":
        log.info({ ...effect.lease }, "attempt is let go");
        return void bay
          .forget(effect.lease)
          .catch((error: unknown) => log.warn({ err: error }, "a folder stays behind"));
      case "redial":
        return line.redial();
      case "exit":
        clearInterval(ticks);
        line.close();
        return void bay.close().then(ended.resolve, ended.reject);
      default:
        return effect satisfies never;
    }
  }

  const line = dial({
    opened: () => feed({ t: "opened" }),
    closed: () => feed({ t: "closed" }),
    heard(frame) {
      if (frame.t === "stale") log.info({ ...frame.lease }, "attempt is stale");
      feed({ t: "frame", frame });
      if (frame.t !== "welcome") return;
      greet?.();
      greet = null;
    },
  });
  const ticks = setInterval(() => feed({ t: "tick" }), TICK_MS);
  return { feed, ended: ended.promise };
}

interface Uploader extends Pick<RunnerHost, "bay" | "log"> {
  readonly feed: (input: Input) => void;
}

function upload(effect: Extract<Effect, { t: "upload" }>, { bay, log, feed }: Uploader): void {
  const { lease, sha256, kind } = effect;
  // A tick before each try: the session looks at the clock and kills what ran out.
  bay
    .upload(effect, () => feed({ t: "tick" }))
    .then(
      () => feed({ t: "uploaded", lease, sha256, failure: null }),
      (error: unknown) => {
        log.warn({ ...lease, kind, err: error }, "an upload failed");
        const code = isStorageFull(error) ? "storage_full" : "upload_failed";
        feed({ t: "uploaded", lease, sha256, failure: { code, detail: reasonOf(error) } });
      },
    );
}

/** What an engine says of a run that nobody else hears of. */
function logReport(log: Logger, lease: LeaseRef, report: EngineEvent): void {
  if (report.t === "unsaved") log.warn({ ...lease, ...report }, "a checkpoint could not be written");
  if (report.t === "loaded") log.info({ ...lease, ...report }, "weights loaded");
}

/** What a runner says of its attempts is what a log is asked about after a bad night. */
function logSaid(log: Logger, frame: Extract<Effect, { t: "send" }>["frame"]): void {
  if (!("lease" in frame)) return;
  if (frame.t === "failed") log.warn({ ...frame.lease, error: frame.error }, "attempt failed");
  else if (frame.t === "finished" || frame.t === "stopped") log.info({ ...frame.lease }, `attempt ${frame.t}`);
  log.debug({ ...frame.lease, said: frame.t }, "said of an attempt");
}
