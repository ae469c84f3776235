/** One GPU host's process: the product's own session, shell, line and device bay, with a simulated engine. */
import { DeviceBay } from "#gpu-runner/device.ts";
import { startRunner } from "#gpu-runner/runner.ts";
import type { Runner } from "#gpu-runner/runner.ts";
import { openLine } from "#gpu-runner/socket.ts";
import { RunnerId } from "#protocol/id.ts";
import { RUNNER_PROTOCOL_VERSION } from "#protocol/runner.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Process } from "../kernel/process.ts";
import { simulatedEngine } from "./engine.ts";
import type { EngineFaults, EngineWatch, Pace } from "./engine.ts";
import { simulatedLog } from "./quiet-log.ts";
import { secretOf } from "./runner-secret.ts";

const VRAM_BYTES = 80 * 2 ** 30;

export interface RunnerHost {
  readonly kernel: Kernel;
  readonly urls: readonly string[];
  readonly devices: { readonly count: number; readonly slots: number };
  readonly pace: Pace;
  readonly engineFaults: EngineFaults;
  readonly watch: EngineWatch;
}

/** Runs inside the new process. */
export async function openRunner(host: RunnerHost, process: Process): Promise<Runner> {
  const { kernel, urls, devices, pace, engineFaults, watch } = host;
  const engine = simulatedEngine(process, kernel.chance.fork(`engine ${process.name}`), pace, engineFaults, watch);
  const bay = await DeviceBay.open("/scratch", engine, { ...devices, vramBytes: VRAM_BYTES });
  const log = simulatedLog(kernel);
  const runner = startRunner({
    bay,
    log,
    identity: {
      version: RUNNER_PROTOCOL_VERSION,
      runner: RunnerId.parse(process.name),
      build: engine.build,
      engine: engine.name,
      models: [...engine.models],
      caps: engine.caps,
      devices: [...bay.devices],
    },
    dial: (lineHost) => openLine(urls, secretOf(process.name), lineHost, log),
    greeted: () => undefined,
  });
  void runner.ended.then(() => process.kill());
  return runner;
}
