/** The adapter against a stand-in for each kind of server: what every engine promises, and what is peculiar about these. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { openOpenAiVideoEngine } from "#gpu-runner/engines/openai-video/openai-video-engine.ts";
import { ServerDevice } from "#gpu-runner/engines/openai-video/server-device.ts";
import { readServerFile } from "#gpu-runner/engines/openai-video/server-file.ts";
import type { EngineEvent } from "#gpu-runner/engine.ts";
import type { RunSpec } from "#protocol/runner.ts";
import { until } from "#tests/support/product.ts";
import { conforms } from "../engine-suite.ts";
import { aJob, denoiseSteps, play, processesOf } from "../subject.ts";

const STAND_IN = fileURLToPath(new URL("stand-in.ts", import.meta.url));
const STEP_MS = 30;
const PROBE = { width: 64, height: 64, frames: 1, steps: 1 };
const SPEC: RunSpec = {
  model: "video",
  prompt: "a red fox in the snow",
  negative_prompt: "",
  width: 64,
  height: 64,
  fps: 8,
  frames: 8,
  steps: 8,
  seed: 7,
  stop_after: null,
  reference: null,
};

const dir = await mkdtemp(join(tmpdir(), "callsheet-servers-"));
afterAll(() => rm(dir, { recursive: true, force: true }));

/** Somebody else's server, until the file is over. */
async function serve(api: string, ...more: string[]): Promise<string> {
  const child = fork(STAND_IN, ["--api", api, "--step-ms", String(STEP_MS), "--dir", dir, ...more]);
  afterAll(() => child.disconnect());
  const [port] = (await once(child, "message")) as [number];
  return `http://127.0.0.1:${port}`;
}

async function modelsOf(entry: object): Promise<ReturnType<typeof readServerFile>> {
  const path = join(dir, `${Math.random()}.json`);
  await writeFile(path, JSON.stringify({ video: { probe: PROBE, cancel_s: 20, ...entry } }));
  return readServerFile(path);
}

async function openDevice(entry: object, hangMsMin = 20_000): Promise<ServerDevice> {
  return new ServerDevice({ models: await modelsOf(entry), pollMs: 10, hangMsMin }, 0, null);
}

async function aDevice(entry: object, hangMsMin?: number): Promise<ServerDevice> {
  const device = await openDevice(entry, hangMsMin);
  onTestFinished(() => device.close());
  return device;
}

const subject = { spec: SPEC };

for (const api of ["vllm-omni", "sglang"]) {
  // Each device of the suite has a server of its own.
  const models = await Promise.all([serve(api), serve(api)].map(async (url) => modelsOf({ api, urls: [await url] })));
  let opened = 0;
  conforms({
    name: `openai-video (${api})`,
    caps: { checkpoint: "none", step_progress: false, cancel: "process" },
    spec: SPEC,
    open: () => new ServerDevice({ models: models[opened++ % 2] ?? new Map(), pollMs: 10 }, 0, null),
    decodesInTiles: false,
    faultKnobs: false,
    hangMs: 20_000,
  });
}

describe("a server that is not ours", () => {
  let vllm: string;
  let sglang: string;
  beforeAll(async () => {
    [vllm, sglang] = await Promise.all([serve("vllm-omni"), serve("sglang")]);
  });

  test("an estimate never says that the last step is done before it is, and says nothing about the first video", async () => {
    const device = await aDevice({ api: "vllm-omni", urls: [vllm] });
    const first = await play(device, await aJob(subject));
    expect(denoiseSteps(first.events)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    const before = (events: readonly EngineEvent[]) => events.findIndex(({ t }) => t === "step");
    expect(before(first.events)).toBeGreaterThan(2);
    const early: number[] = [];
    await play(device, await aJob(subject, { steps: 8 }), (event) => {
      if (event.t === "step" && event.done < 8) early.push(event.done);
    });
    expect(early.length).toBeGreaterThan(0);
  });

  test("cancelled, SGLang renders on: the run says that it stopped when its device is idle, and the next video is alone", async () => {
    const device = await aDevice({ api: "sglang", urls: [sglang] });
    await play(device, await aJob(subject));
    let asked = 0;
    const long = await aJob(subject, { steps: 40 });
    const { ending } = await play(device, long, (event, run) => {
      if (event.t !== "stage" || event.stage !== "denoise") return;
      asked = performance.now();
      run.stop("cancel");
    });
    expect(ending.t).toBe("stopped");
    // What is left of forty steps.
    expect(performance.now() - asked).toBeGreaterThan(30 * STEP_MS);
    expect((await play(device, await aJob(subject))).ending.t).toBe("artifact");
    expect(await (await fetch(`${sglang}/together`)).json()).toEqual({ together: 1 });
  });

  test("killed, a run says nothing more, and the next one begins when the server is idle", async () => {
    const device = await aDevice({ api: "sglang", urls: [sglang] });
    const heard: EngineEvent[] = [];
    const run = device.start(await aJob(subject, { steps: 40 }), (event) => heard.push(event));
    await until("it renders", 20_000, async () =>
      heard.some((event) => event.t === "stage" && event.stage === "denoise"),
    );
    run.kill();
    const said = heard.length;
    expect((await play(device, await aJob(subject))).ending.t).toBe("artifact");
    expect(heard).toHaveLength(said);
    expect(await (await fetch(`${sglang}/together`)).json()).toEqual({ together: 1 });
  });

  test("a video for which there is too little memory is one for another device", async () => {
    const device = await aDevice({ api: "vllm-omni", urls: [vllm] });
    const { ending } = await play(device, await aJob(subject, { prompt: "!oom" }));
    expect(ending).toMatchObject({ t: "failed", error: { class: "capacity", code: "oom_denoise" } });
    expect((await play(device, await aJob(subject))).ending.t).toBe("artifact");
  });

  test.each(["vllm-omni", "sglang"])("what %s refuses is told to whoever asked for it", async (api) => {
    const device = await aDevice({ api, urls: [api === "sglang" ? sglang : vllm] });
    const { ending } = await play(device, await aJob(subject, { steps: 51 }));
    expect(ending).toMatchObject({ t: "failed", error: { class: "user", code: "refused_by_engine" } });
    expect(ending.t === "failed" && ending.error.detail).toContain("num_inference_steps must be at most 50");
  });

  test("an engine that closed behind an open port is found out before it gets a video", async () => {
    const device = await aDevice({ api: "vllm-omni", urls: [await serve("vllm-omni")], cancel_s: 2 });
    expect((await play(device, await aJob(subject, { prompt: "!close" }))).ending.t).toBe("artifact");
    const second = await play(device, await aJob(subject));
    expect(second.ending).toMatchObject({ error: { class: "engine_fatal", code: "server_failed" } });
    const third = await play(device, await aJob(subject));
    expect(third.ending).toMatchObject({ error: { class: "gpu_fatal", code: "server_unfit" } });
    expect(third.events.map(({ t }) => t)).toEqual(["stage", "failed"]);
  });

  test("one that hangs is the device's fault once it stays busy", async () => {
    const device = await aDevice({ api: "sglang", urls: [await serve("sglang")], video_s: 1, cancel_s: 1 });
    expect((await play(device, await aJob(subject, { prompt: "!hang" }))).ending).toMatchObject({
      error: { class: "engine_fatal", code: "hung_step" },
    });
    expect((await play(device, await aJob(subject))).ending).toMatchObject({
      error: { class: "gpu_fatal", code: "server_unfit" },
    });
  });

  test("nobody there is the device's fault", async () => {
    const device = await aDevice({ api: "sglang", urls: ["http://127.0.0.1:9"] });
    expect((await play(device, await aJob(subject))).ending).toMatchObject({
      error: { class: "gpu_fatal", code: "server_unfit" },
    });
  });
});

describe("a server of ours", () => {
  const command = [process.execPath, STAND_IN, "--port", "{port}", "--step-ms", String(STEP_MS), "--dir", dir];

  test("is started for its first video, and gone with its device", async () => {
    const device = await openDevice({ api: "vllm-omni", command });
    expect((await play(device, await aJob(subject))).ending.t).toBe("artifact");
    const { pid } = device;
    await device.close();
    await gone(pid);
  });

  test("that hangs is killed with all of its processes and started again", async () => {
    const device = await aDevice({ api: "sglang", command: [...command, "--api", "sglang"], video_s: 2, cancel_s: 1 });
    await play(device, await aJob(subject));
    const { pid } = device;
    expect((await play(device, await aJob(subject, { prompt: "!hang" }))).ending).toMatchObject({
      error: { class: "engine_fatal", code: "hung_step" },
    });
    expect((await play(device, await aJob(subject))).ending.t).toBe("artifact");
    await gone(pid);
    expect(device.pid).not.toBe(pid);
  });

  test("that does not stop in time is killed, and its device is free", async () => {
    const device = await aDevice({ api: "vllm-omni", command: [...command, "--drains"], cancel_s: 1 });
    await play(device, await aJob(subject));
    const { pid } = device;
    const { ending } = await play(device, await aJob(subject, { steps: 50, prompt: "!hang" }), (event, run) => {
      if (event.t === "stage" && event.stage === "denoise") run.stop("preempt");
    });
    expect(ending).toEqual({ t: "stopped", step: 0 });
    expect((await play(device, await aJob(subject))).ending.t).toBe("artifact");
    expect(device.pid === pid).toBe(false);
  });

  test("that dies under a video fails it as the engine, and the next one has a new server", async () => {
    const device = await aDevice({ api: "vllm-omni", command });
    expect((await play(device, await aJob(subject, { prompt: "!exit" }))).ending).toMatchObject({
      error: { class: "engine_fatal", code: "server_lost" },
    });
    expect((await play(device, await aJob(subject))).ending.t).toBe("artifact");
  });

  test("whose command never works is the device's fault", async () => {
    const device = await aDevice({ api: "vllm-omni", command: ["/nowhere/vllm", "{port}"] });
    expect((await play(device, await aJob(subject))).ending).toMatchObject({
      error: { class: "gpu_fatal", code: "server_unfit" },
    });
  });
});

test("the engine says what it is: it keeps nothing, and sees no steps", async () => {
  const path = join(dir, "engine.json");
  await writeFile(path, JSON.stringify({ wan: { api: "sglang", urls: ["http://127.0.0.1:1"] } }));
  expect(await openOpenAiVideoEngine({ modelFile: path, gpus: null })).toMatchObject({
    name: "openai-video",
    models: ["wan"],
    caps: { checkpoint: "none", step_progress: false, cancel: "process" },
  });
});

test.each([
  [{ api: "sglang" }, "needs either 'urls' or 'command'"],
  [{ api: "sglang", command: ["x"] }, "must say '{port}'"],
  [{ api: "comfyui", urls: ["http://x"] }, "api"],
  [{ api: "sglang", urls: ["ftp://x"] }, "urls"],
  [{ api: "sglang", urls: ["http://x"], chekpoint: 1 }, "chekpoint"],
])("a file that says %j is refused: %s", async (entry, why) => {
  await expect(modelsOf(entry)).rejects.toThrow(why);
});

async function gone(pid: number | null): Promise<void> {
  if (process.platform !== "linux" || pid === null) return;
  await until(`no process of ${pid} is left`, 20_000, async () => (await processesOf(pid)).length === 0);
}
