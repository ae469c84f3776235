/** The `gpu-runner` program: wiring only. It ends with 0 after a drain (SIGTERM, Ctrl-C, or a parent that is gone). */
import { flushCompileCache } from "node:module";
import { pino } from "pino";
import { SAFE_LOG } from "#protocol/log-line.ts";
import { RUNNER_PROTOCOL_VERSION } from "#protocol/runner.ts";
import { readConfig } from "./config.ts";
import { DeviceBay } from "./device.ts";
import { openEngine } from "./engines/open-engine.ts";
import { readXids, watchGpus } from "./gpu/gpu-watch.ts";
import { seenGpus } from "./gpu/nvidia-smi.ts";
import { keepIdentity } from "./identity.ts";
import { startRunner } from "./runner.ts";
import { openLine } from "./socket.ts";
import { watchSpot } from "./spot-notice.ts";

const config = readConfig();
const log = pino({
  level: config.logLevel,
  base: { program: "gpu-runner", pid: process.pid, runner: config.runner },
  ...SAFE_LOG,
});
// Before it has a secret a runner has nothing to drain; without its parent it would join for ever.
const leave = (): never => process.exit(0);
process.once("disconnect", leave);
const secret = await keepIdentity({ ...config, log });
process.off("disconnect", leave);
const gpus = config.engine.name === "reference" ? null : await seenGpus(config.visibleGpus);
const xids = await readXids(config.xidFile);
const engine = await openEngine(config, gpus);
const bay = await DeviceBay.open(config.dir, engine, config.devices);

const runner = startRunner({
  bay,
  log,
  identity: {
    version: RUNNER_PROTOCOL_VERSION,
    runner: config.runner,
    build: engine.build,
    engine: engine.name,
    models: [...engine.models],
    caps: engine.caps,
    devices: [...bay.devices],
  },
  dial: (host) => openLine(config.controlPlaneUrls, secret, host, log),
  greeted: () => process.send?.({ ready: true }),
});
// Where a cache is asked for (`NODE_COMPILE_CACHE`), a process that is killed leaves it, too.
flushCompileCache();
log.info({ engine: engine.name, ...config.devices, control_planes: config.controlPlaneUrls }, "runner ready");

const drain = (reason: string) => (): void => {
  log.info({ reason }, "runner drains");
  runner.feed({ t: "drain", withinMs: config.drainMs });
};
process.on("SIGTERM", drain("SIGTERM"));
process.on("SIGINT", drain("SIGINT"));
process.on("disconnect", drain("parent gone"));
process.on("message", (message) => {
  if (message === "stop") drain("stop message")();
});
const stayed = new AbortController();
if (gpus !== null && engine.gpus !== null) {
  const devices = bay.devices.flatMap(({ id }, at) => ({ id, bus: gpus[at]?.bus ?? "" }));
  void watchGpus({
    devices,
    xids,
    log,
    signal: stayed.signal,
    told: (readings) => runner.feed({ t: "telemetry", devices: readings }),
    broke: (broken, error) => runner.feed({ t: "broken", devices: broken, error, withinMs: config.drainMs }),
  });
}
if (config.spot !== null) {
  void watchSpot({ cloud: config.spot, signal: stayed.signal, taken: drain(`${config.spot} takes the machine back`) });
}

await runner.ended;
stayed.abort();
process.exit(0);
