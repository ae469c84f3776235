import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, inject, onTestFinished, test } from "vitest";
import { openDiffusersEngine } from "#gpu-runner/engines/diffusers/diffusers-engine.ts";
import { type ModelEntry, readModelFile } from "#gpu-runner/engines/diffusers/model-file.ts";
import { SidecarDevice } from "#gpu-runner/engines/diffusers/sidecar-device.ts";
import { SIDECAR_PROTOCOL } from "#gpu-runner/engines/diffusers/sidecar-message.ts";
import { conforms } from "../engine-suite.ts";
import { aJob, checkpointsOf, denoiseSteps, picturesOf, play, type Subject } from "../subject.ts";
import { PYTHON } from "./python.ts";

const modelFile = inject("tinyModelFile");
/** Room for all models: what comes back from there must be as good as what was read. */
const shelfBytes = 1_000_000_000;
const options = { python: PYTHON, shelfBytes, faults: true, saving: { interval_ms: 0, cost_multiple: 0 } };
/** Not waited for: it starts a process of its own. */
const opening = openDiffusersEngine({ modelFile, ...options });
const found = await readModelFile(modelFile);
const models = new Map([
  ...found,
  ["wan-gone", { ...found.get("wan"), name: "wan-gone", path: "/nowhere" } as ModelEntry],
]);
/** Of the suite; its first, which it keeps healthy, serves the tests here before it is closed. */
const opened: SidecarDevice[] = [];

const subject: Subject = {
  name: "diffusers",
  caps: { checkpoint: "exact", step_progress: true, cancel: "step" },
  spec: {
    model: "wan",
    prompt: "a red fox in the snow",
    negative_prompt: "",
    width: 48,
    height: 32,
    fps: 8,
    frames: 8,
    steps: 8,
    seed: 7,
    stop_after: null,
    reference: null,
  },
  open: (change) => {
    const device = new SidecarDevice({ ...options, models, ...change }, null);
    opened.push(device);
    return device;
  },
  faultKnobs: true,
  decodesInTiles: true,
  hangMs: 10_000,
};

const HELLO = {
  t: "hello",
  seq: 0,
  protocol: SIDECAR_PROTOCOL,
  build: "test",
  devices: [{ kind: "cpu", name: "CPU", vram_bytes: 0 }],
  pipelines: ["WanPipeline"],
  versions: {},
};

function healthy(): SidecarDevice {
  const [device] = opened;
  if (device === undefined) throw new Error("the suite has opened no device");
  return device;
}

test("the engine says what it is: its libraries, its models, exact checkpoints", async () => {
  expect(await opening).toMatchObject({
    name: "diffusers",
    build: expect.stringMatching(/^diffusers-[\d.]+\+torch-[\d.]+.*\+sidecar-\d+$/),
    models: ["wan", "wan-other", "wan-euler", "wan-dpm"],
    caps: subject.caps,
  });
});

test("a checkpoint is refused by other weights and by another scheduler, and still good for its own", async () => {
  const { events } = await play(healthy(), await aJob(subject, { prompt: "!idle=40 a fox" }));
  const saved = checkpointsOf(events).find(({ step }) => step === 4);
  if (saved === undefined) throw new Error("no checkpoint after step 4");
  for (const [model, fault] of [
    ["wan-other", "other_weights"],
    ["wan-euler", "other_sampler"],
  ] as const) {
    const { ending } = await play(healthy(), await aJob(subject, { model, prompt: "a fox" }, saved));
    expect(ending).toMatchObject({ t: "failed", error: { class: "retryable", code: "bad_checkpoint" } });
    expect(ending.t === "failed" && ending.error.detail).toMatch(new RegExp(`^${fault}: `));
  }
  const resumed = await play(healthy(), await aJob(subject, { prompt: "a fox" }, saved));
  expect(denoiseSteps(resumed.events)).toEqual([5, 6, 7, 8]);
  expect(picturesOf(resumed)).toEqual(picturesOf(await play(healthy(), await aJob(subject, { prompt: "a fox" }))));
});

test("a model that was put aside is back from main memory, and the engine says from where it loaded", async () => {
  const loads: unknown[] = [];
  for (const model of ["wan-dpm", "wan", "wan"]) {
    const { events } = await play(healthy(), await aJob(subject, { model }));
    loads.push(events.flatMap((event) => (event.t === "loaded" ? [`${event.model} from ${event.from}`] : [])));
  }
  expect(loads).toEqual([["wan-dpm from disk"], ["wan from memory"], []]);
});

test("a reference image, which a text-to-video model cannot take, is the user's fault", async () => {
  const reference = { url: "unused", sha256: "0".repeat(64), media_type: "image/png" } as never;
  const { ending } = await play(healthy(), await aJob(subject, { reference }));
  expect(ending).toMatchObject({ t: "failed", error: { class: "user", code: "invalid_input_reference" } });
});

test("a model whose weights are not there is the host's fault, and the others still work", async () => {
  const { ending } = await play(healthy(), await aJob(subject, { model: "wan-gone" }));
  expect(ending).toMatchObject({ t: "failed", error: { class: "host_fatal", code: "model_unusable" } });
  expect((await play(healthy(), await aJob(subject))).ending.t).toBe("artifact");
});

test.each([
  ["says something else than an event", "echo Loading weights...; sleep 60", "stdout_garbage"],
  ["skips an event", `echo '{"t":"pong","seq":1,"n":1}'; sleep 60`, "stdout_garbage"],
  ["ends", "exit 3", "exited"],
])("a sidecar that %s is replaced, and the job given back as the device's fault", async (_what, script, code) => {
  const python = await aPython(script);
  const strange = new SidecarDevice({ ...options, python, models }, null);
  onTestFinished(() => strange.close());
  const { ending } = await play(strange, await aJob(subject));
  expect(ending).toMatchObject({ t: "failed", error: { class: "gpu_fatal", code } });
});

test("a GPU that does not give back what a killed process held is the device's fault, before another process is started", async () => {
  const vacancies = [{ heldStill: () => Promise.resolve("the GPU holds 60 GB") }];
  const leaky = new SidecarDevice({ ...options, python: await aPython("exit 3"), models, vacancies }, null);
  onTestFinished(() => leaky.close());
  await play(leaky, await aJob(subject));
  const { ending } = await play(leaky, await aJob(subject));
  const error = { class: "gpu_fatal", code: "vram_held", detail: "the GPU holds 60 GB" };
  expect(ending).toEqual({ t: "failed", error });
  expect(leaky.pid).toBeNull();
});

test("a model file with a fault is refused at start, by field", async () => {
  const wrongFile = join(await aFolder(), "models.json");
  // Answered as the real one would, which takes seconds to say so.
  const python = await aPython(`echo '${JSON.stringify(HELLO)}'; sleep 60`);
  const [wan] = Object.values(JSON.parse(await readFile(modelFile, "utf8")) as Record<string, object>);
  for (const [change, fault] of [
    [{ dtype: "int8" }, /dtype/],
    [{ path: undefined }, /either 'path' or 'repo'/],
    [{ repo: "a/b", path: undefined }, /revision/],
    [{ stepz: 4 }, /stepz/],
    [{ pipeline: "SoraPipeline" }, /SoraPipeline/],
  ] as const) {
    await writeFile(wrongFile, JSON.stringify({ wan: { ...wan, ...change } }));
    await expect(openDiffusersEngine({ ...options, modelFile: wrongFile, python })).rejects.toThrow(fault);
  }
});

async function aFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "callsheet-conformance-"));
  onTestFinished(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** A program that is started as Python is, and does something else. */
async function aPython(script: string): Promise<string> {
  const path = join(await aFolder(), "python");
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

conforms(subject);
