/** A session core driven by hand for tests: it remembers its state, and answers what each input made it do. */
import type { Effect, EngineReport } from "#gpu-runner/core/attempt.ts";
import { type Input, newSession, type Session, step } from "#gpu-runner/core/session.ts";
import { DeviceId, RunnerId, Sha256Hex } from "#protocol/id.ts";
import {
  type Device,
  type FromRunner,
  HEARTBEAT_MS,
  LEASE_MS,
  type LeaseRef,
  type ToRunner,
} from "#protocol/runner.ts";
import { aSpec, JOB } from "./reference-job.ts";

export const DEVICE = DeviceId.parse("cpu-0");
export const LEASE: LeaseRef = { job: JOB, epoch: 1 };
export const SHA = Sha256Hex.parse("1".repeat(64));
export const OTHER_SHA = Sha256Hex.parse("2".repeat(64));
export const ARTIFACT = { sha256: OTHER_SHA, bytes: 9, latents_sha256: SHA, frames_sha256: SHA };
export const CHECKPOINT: EngineReport = {
  t: "checkpoint",
  step: 3,
  path: "/c",
  sha256: SHA,
  bytes: 5,
  exactness: "exact",
};

export class Stage {
  session: Session;

  constructor(devices: readonly Device[] = [{ id: DEVICE, gpu: "CPU", vram_bytes: 1, slots: 1 }]) {
    this.session = newSession(
      {
        version: 1,
        runner: RunnerId.parse("runner-1"),
        build: "b",
        engine: "reference",
        models: ["reference"],
        caps: { checkpoint: "exact", step_progress: true, cancel: "step" },
        devices: [...devices],
      },
      HEARTBEAT_MS,
    );
  }

  nowMs = 0;

  feed(input: Input): readonly Effect[] {
    const next = step(this.session, input, this.nowMs);
    this.session = next.session;
    return next.effects;
  }
  hear(frame: ToRunner): readonly Effect[] {
    return this.feed({ t: "frame", frame });
  }
  engine(report: EngineReport, lease = LEASE): readonly Effect[] {
    return this.feed({ t: "engine", lease, report });
  }
  connect(): readonly Effect[] {
    return [
      ...this.feed({ t: "opened" }),
      ...this.hear({ t: "welcome", lease_ms: LEASE_MS, heartbeat_ms: HEARTBEAT_MS }),
    ];
  }
  assign(lease = LEASE, devices = [DEVICE], spec = aSpec()): readonly Effect[] {
    return this.hear({ t: "assign", lease, devices, lease_ms: LEASE_MS, spec, resume: null });
  }
  tickAt(nowMs: number): readonly Effect[] {
    this.nowMs = nowMs;
    return this.feed({ t: "tick" });
  }
}

export function working(): Stage {
  const stage = new Stage();
  stage.connect();
  stage.assign();
  return stage;
}

export function sent(effects: readonly Effect[]): FromRunner[] {
  return effects.flatMap((effect) => (effect.t === "send" ? [effect.frame] : []));
}

export function kinds(effects: readonly Effect[]): string[] {
  return effects.map((effect) => (effect.t === "send" ? effect.frame.t : `*${effect.t}`));
}
