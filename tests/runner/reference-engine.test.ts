import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ImageDecoder } from "@napi-rs/webcodecs";
import { afterAll, describe, expect, onTestFinished, test } from "vitest";
import { ChildDevice } from "#gpu-runner/engines/reference/child-device.ts";
import { answer, KNOWN_ANSWER } from "#gpu-runner/engines/reference/known-answer.ts";
import { bytesOf } from "#gpu-runner/checkpoint/safetensors.ts";
import { type Picture, makeSampler, type SampleState } from "#gpu-runner/engines/reference/sampler.ts";
import type { EngineEvent } from "#gpu-runner/engine.ts";
import { Sha256Hex } from "#protocol/id.ts";
import { isThumbnail, THUMBNAIL_HEADER_BYTES } from "#protocol/mp4-thumbnail.ts";
import { readMp4 } from "#tests/support/mp4.ts";
import { aJob, aSpec, JOB, runJob } from "./reference-job.ts";

const device = new ChildDevice({ faults: true });
/** Calls a hang what the product would wait longer for; a child that starts on a busy host is still none. */
const impatient = new ChildDevice({ faults: true, hangMsMin: 3_000 });
afterAll(() => Promise.all([device.close(), impatient.close()]));

const TINY: Picture = {
  prompt: "waves at sunset",
  negativePrompt: "",
  width: 96,
  height: 64,
  frames: 9,
  steps: 6,
  seed: 42,
  reference: null,
};
/** Known answer: the same on every host and Node build. It changes only together with `REFERENCE_BUILD`. */
const TINY_LATENTS = "0ba623e97ab5b0a7596afb2acbcf048d0547e5dcb80b1b754c75a3d466596985";

describe("the sampler", () => {
  test("a known job has the known latents", () => {
    expect(latentsHash(sample(TINY, null))).toBe(TINY_LATENTS);
  });

  test("another seed, another prompt or a negative prompt gives another picture", () => {
    const variants = [
      TINY,
      { ...TINY, seed: 43 },
      { ...TINY, prompt: "a city at night" },
      { ...TINY, negativePrompt: "sunset" },
    ];
    const states = variants.map((picture) => sample(picture, null));
    expect(new Set(states.map(latentsHash)).size).toBe(variants.length);
    for (const other of states.slice(1)) expect(meanGap(states[0] as SampleState, other)).toBeGreaterThan(0.05);
  });

  test("a red fox in the snow is a reddish thing in a white field", () => {
    const { latents } = sample({ ...TINY, prompt: "a red fox in the snow", width: 320, height: 192 }, null);
    const cells = Array.from(
      { length: 40 * 24 },
      (_, cell) => [latents[4 * cell] ?? 0, latents[4 * cell + 2] ?? 0] as const,
    );
    expect(cells.filter(([, red]) => red > 0.25).length).toBeGreaterThan(15);
    expect(cells.filter(([luma, red]) => luma > 0.6 && red < 0.1).length).toBeGreaterThan(200);
  });
});

describe("checkpoints", () => {
  test("a render stopped at any step and resumed by another process ends bit for bit the same", async () => {
    const whole = await runJob(device, await aJob());
    expect(whole.ending.t).toBe("artifact");
    for (const at of [1, 3, 7]) {
      const { events } = await runJob(
        device,
        await aJob({ spec: aSpec({ prompt: "!idle=20 a red fox in the snow" }) }),
        (event, run) => {
          if (event.t === "step" && event.stage === "denoise" && event.done === at) run.stop("preempt");
        },
      );
      const saved = events.findLast((event) => event.t === "checkpoint");
      const stopped = events.at(-1);
      if (saved?.t !== "checkpoint" || stopped?.t !== "stopped")
        throw new Error("the render did not stop with a checkpoint");
      expect(saved.step).toBeGreaterThanOrEqual(at);
      expect(stopped.step).toBe(saved.step);
      const other = new ChildDevice({ faults: true });
      const resumed = await runJob(
        other,
        await aJob({ lease: { job: JOB, epoch: 2 }, checkpoint: { path: saved.path, writtenFor: JOB } }),
      );
      await other.close();
      expect(hashesOf(resumed.ending)).toEqual(hashesOf(whole.ending));
      expect(denoiseSteps(resumed.events)).toEqual(
        Array.from({ length: 8 - saved.step }, (_, i) => saved.step + 1 + i),
      );
    }
  });

  test("the checkpoint of another job is refused", async () => {
    const { events } = await runJob(device, await aJob({ spec: aSpec({ prompt: "!idle=20 a fox" }) }), (event, run) => {
      if (event.t === "step") run.stop("drain");
    });
    const saved = events.find((event) => event.t === "checkpoint");
    if (saved?.t !== "checkpoint") throw new Error("no checkpoint");
    const { ending } = await runJob(
      device,
      await aJob({ checkpoint: { path: saved.path, writtenFor: JOB }, spec: aSpec({ seed: 8 }) }),
    );
    expect(ending).toMatchObject({ t: "failed", error: { class: "retryable", code: "bad_checkpoint" } });
  });
});

describe("the video", () => {
  test.each([
    { width: 320, height: 192, fps: 24, frames: 24 },
    { width: 200, height: 360, fps: 30, frames: 45 },
  ])("has exactly the asked size, frames and duration: $width x $height, $frames at $fps", async (shape) => {
    const { ending } = await runJob(device, await aJob({ spec: aSpec({ ...shape, steps: 2 }) }));
    if (ending.t !== "artifact") throw new Error(JSON.stringify(ending));
    const file = await readFile(ending.path);
    expect(ending.artifact.sha256).toBe(createHash("sha256").update(file).digest("hex"));
    expect(ending.artifact.bytes).toBe(file.length);
    expect(readMp4(file)).toEqual({
      codec: "avc1",
      width: shape.width,
      height: shape.height,
      frames: shape.frames,
      seconds: shape.frames / shape.fps,
      fastStart: true,
    });
  });

  test.each([
    { width: 320, height: 192, small: [320, 192] },
    { width: 720, height: 400, small: [360, 200] },
  ])("carries a thumbnail at its end, a WebP of $small for $width x $height", async ({ width, height, small }) => {
    const { ending } = await runJob(device, await aJob({ spec: aSpec({ width, height, frames: 2, steps: 1 }) }));
    if (ending.t !== "artifact") throw new Error(JSON.stringify(ending));
    const file = await readFile(ending.path);
    const at = file.lastIndexOf("uuid") - 4;
    expect(isThumbnail(file.subarray(at))).toBe(true);
    expect(file.readUInt32BE(at)).toBe(file.length - at);
    const decoder = new ImageDecoder({ data: file.subarray(at + THUMBNAIL_HEADER_BYTES), type: "image/webp" });
    const { image } = await decoder.decode();
    expect([image.codedWidth, image.codedHeight]).toEqual(small);
    image.close();
    decoder.close();
  });

  test("starts from the reference image", async () => {
    const path = new URL("../support/first-frame.png", import.meta.url).pathname;
    const sha256 = Sha256Hex.parse(
      createHash("sha256")
        .update(await readFile(path))
        .digest("hex"),
    );
    const reference = { url: "unused", sha256, media_type: "image/png" };
    const { ending } = await runJob(device, await aJob({ spec: aSpec({ reference }), referencePath: path }));
    const plain = await runJob(device, await aJob());
    expect(ending.t).toBe("artifact");
    expect(hashesOf(ending)).not.toEqual(hashesOf(plain.ending));
  });

  test("a reference that is no image is the user's fault", async () => {
    const job = await aJob();
    const path = join(job.dir, "reference");
    await writeFile(path, "not an image");
    const reference = { url: "unused", sha256: Sha256Hex.parse("0".repeat(64)), media_type: "image/png" };
    const { ending } = await runJob(device, { ...job, spec: aSpec({ reference }), referencePath: path });
    expect(ending).toMatchObject({ t: "failed", error: { class: "user", code: "invalid_input_reference" } });
  });
});

describe("fault knobs", () => {
  test("!hang@3 is called a hang, and the device serves the next job", async () => {
    const { ending } = await runJob(impatient, await aJob({ spec: aSpec({ prompt: "!hang@3 a fox" }) }));
    expect(ending).toMatchObject({ t: "failed", error: { class: "engine_fatal", code: "hung_step" } });
    const next = await runJob(impatient, await aJob());
    expect(next.ending.t).toBe("artifact");
  });

  test.each([
    ["!crash a fox", { class: "engine_fatal", code: "exited" }],
    ["!oom a fox", { class: "capacity", code: "oom_denoise" }],
    ["!nan@3 a fox", { class: "engine_fatal", code: "nan_latents" }],
    ["!nan@8 a fox", { class: "engine_fatal", code: "nan_latents" }],
  ])("%s fails as such, and the device serves the next job", async (prompt, error) => {
    const { ending } = await runJob(device, await aJob({ spec: aSpec({ prompt }) }));
    expect(ending).toMatchObject({ t: "failed", error });
    const next = await runJob(device, await aJob());
    expect(next.ending.t).toBe("artifact");
  });

  test("!crash-once@5 dies on the first attempt only; the picture is that of the rest of the prompt", async () => {
    const spec = aSpec({ prompt: "!crash-once@5 a red fox in the snow" });
    const first = await runJob(device, await aJob({ spec }));
    expect(denoiseSteps(first.events)).toEqual([1, 2, 3, 4]);
    expect(first.ending).toMatchObject({ t: "failed", error: { code: "exited" } });
    const second = await runJob(device, await aJob({ spec, lease: { job: JOB, epoch: 2 } }));
    expect(hashesOf(second.ending)).toEqual(hashesOf((await runJob(device, await aJob())).ending));
  });

  test("are plain words where they are not allowed", async () => {
    const strict = new ChildDevice({ faults: false });
    const { ending } = await runJob(strict, await aJob({ spec: aSpec({ prompt: "!crash a fox" }) }));
    await strict.close();
    expect(ending.t).toBe("artifact");
  });
});

describe("an engine that has failed", () => {
  const broken = Sha256Hex.parse("0".repeat(64));
  const crash = aSpec({ prompt: "!crash a fox" });

  test.each(["!crash a fox", "!hang@3 a fox", "!nan@3 a fox"])(
    "%s, and then does not give the known answer, gives jobs back as the device's fault",
    async (prompt) => {
      const suspect = new ChildDevice({ faults: true, hangMsMin: 3_000, knownAnswer: broken });
      onTestFinished(() => suspect.close());
      // A device that has not failed is not asked.
      expect((await runJob(suspect, await aJob())).ending.t).toBe("artifact");
      const { ending } = await runJob(suspect, await aJob({ spec: aSpec({ prompt }) }));
      expect(ending).toMatchObject({ t: "failed", error: { class: "engine_fatal" } });
      for (let job = 0; job < 2; job++) {
        const next = await runJob(suspect, await aJob());
        expect(next.events).toHaveLength(1);
        expect(next.ending).toMatchObject({ t: "failed", error: { class: "gpu_fatal", code: "known_answer" } });
      }
    },
  );

  test("gives the known answer first, and then hears an order to stop that came meanwhile", async () => {
    const job = await aJob({ lease: { job: JOB, epoch: 2 } });
    expect((await runJob(device, await aJob({ spec: crash }))).ending.t).toBe("failed");
    const { promise, resolve } = Promise.withResolvers<EngineEvent>();
    const run = device.start(job, (event) => {
      if (event.t === "stopped" || event.t === "artifact" || event.t === "failed") resolve(event);
    });
    run.stop("drain");
    expect((await promise).t).toBe("stopped");
    expect((await runJob(device, await aJob())).ending.t).toBe("artifact");
  });

  test("may be killed while it is asked", async () => {
    expect((await runJob(device, await aJob({ spec: crash }))).ending.t).toBe("failed");
    const heard: EngineEvent[] = [];
    device.start(await aJob(), (event) => heard.push(event)).kill();
    expect((await runJob(device, await aJob())).ending.t).toBe("artifact");
    expect(heard).toEqual([]);
  });

  test("knows the same answer as this test", () => {
    expect(KNOWN_ANSWER).toBe(TINY_LATENTS);
    expect(answer()).toBe(TINY_LATENTS);
  });
});

function sample(picture: Picture, saved: SampleState | null): SampleState {
  const sampler = makeSampler(picture, saved);
  while (sampler.state.step < picture.steps) Array.from(sampler.advance(1));
  return sampler.state;
}

function latentsHash({ latents }: SampleState): string {
  return createHash("sha256").update(bytesOf(latents)).digest("hex");
}

function meanGap(a: SampleState, b: SampleState): number {
  return a.latents.reduce((sum, value, i) => sum + Math.abs(value - (b.latents[i] ?? 0)), 0) / a.latents.length;
}

function hashesOf(ending: EngineEvent): unknown {
  if (ending.t !== "artifact") throw new Error(`expected a video, got ${JSON.stringify(ending)}`);
  return { latents: ending.artifact.latents_sha256, frames: ending.artifact.frames_sha256 };
}

function denoiseSteps(events: readonly EngineEvent[]): number[] {
  return events.flatMap((event) => (event.t === "step" && event.stage === "denoise" ? [event.done] : []));
}
