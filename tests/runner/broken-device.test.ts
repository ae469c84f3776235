/** A device that breaks under its work: what runs there fails at once as the device's fault, the rest goes elsewhere with its checkpoints. */
import { expect, test } from "vitest";
import { DeviceId, VideoId } from "#protocol/id.ts";
import type { RunError } from "#protocol/runner.ts";
import { DEVICE, kinds, LEASE, sent, Stage } from "./stage.ts";

const OTHER_DEVICE = DeviceId.parse("cpu-1");
const OTHER = { job: VideoId.parse(`video_${"b".repeat(32)}`), epoch: 1 };
const ERROR: RunError = { class: "gpu_fatal", code: "xid_48", detail: "double bit error" };

function twoDevices(): Stage {
  const stage = new Stage([DEVICE, OTHER_DEVICE].map((id) => ({ id, gpu: "CPU", vram_bytes: 1, slots: 1 })));
  stage.connect();
  stage.assign();
  stage.assign(OTHER, [OTHER_DEVICE]);
  return stage;
}

test("what runs on a broken device is killed and has failed, the others are stopped, and no more is taken", () => {
  const stage = twoDevices();
  const effects = stage.feed({ t: "broken", devices: [DEVICE], error: ERROR, withinMs: 20_000 });
  expect(effects).toEqual(
    expect.arrayContaining([
      { t: "kill", lease: LEASE },
      { t: "send", frame: { t: "failed", lease: LEASE, error: ERROR } },
      { t: "send", frame: { t: "draining" } },
      { t: "stop", lease: OTHER, why: "drain" },
    ]),
  );
  expect(effects).not.toContainEqual({ t: "kill", lease: OTHER });
  const late = { job: VideoId.parse(`video_${"c".repeat(32)}`), epoch: 1 };
  expect(sent(stage.assign(late))).toMatchObject([{ t: "refused", reason: "draining" }]);
  // Once both are recorded nothing holds it.
  stage.hear({ t: "recorded", lease: LEASE, what: "failed", sha256: null });
  stage.engine({ t: "stopped", step: 4 }, OTHER);
  expect(kinds(stage.hear({ t: "recorded", lease: OTHER, what: "stopped", sha256: null }))).toContain("*exit");
});

test("a result that is on its way already is not lost with its device", () => {
  const stage = twoDevices();
  const artifact = { sha256: "a".repeat(64), bytes: 9, latents_sha256: null, frames_sha256: null };
  stage.engine({ t: "artifact", path: "/v", artifact } as never);
  const effects = stage.feed({ t: "broken", devices: [DEVICE], error: ERROR, withinMs: 20_000 });
  expect(effects).not.toContainEqual({ t: "kill", lease: LEASE });
  expect(sent(effects).filter(({ t }) => t === "failed")).toEqual([]);
});

test("readings of its devices are told while somebody listens", () => {
  const stage = new Stage();
  const reading = {
    id: DEVICE,
    utilization: 50,
    memory_used_bytes: 1,
    temperature_c: 40,
    power_w: null,
    ecc_errors: 0,
  };
  expect(stage.feed({ t: "telemetry", devices: [reading] })).toEqual([]);
  stage.connect();
  expect(sent(stage.feed({ t: "telemetry", devices: [reading] }))).toEqual([{ t: "telemetry", devices: [reading] }]);
});
