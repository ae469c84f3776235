/** `ckpt/1`: what is in a file, which files are refused and why, and what a killed writer leaves behind. */
import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { REFERENCE_BUILD } from "#gpu-runner/engines/reference/build.ts";
import { ChildDevice } from "#gpu-runner/engines/reference/child-device.ts";
import { compatKey, loadCheckpoint, saveCheckpoint } from "#gpu-runner/engines/reference/checkpoint.ts";
import { sigmaAt } from "#gpu-runner/engines/reference/sampler.ts";
import { VideoId } from "#protocol/id.ts";
import { aJob, aSpec, JOB, runJob } from "./reference-job.ts";

const SPEC = aSpec();
/** 320 × 192 and 24 frames: what the reference engine's latents are by its own description. */
const SHAPE = [7, 24, 40, 4];
const VALUES = 7 * 24 * 40 * 4;
const STEP = 3;

interface Parts {
  /** JSON of the header, before padding. */
  header: Record<string, unknown>;
  manifest: Record<string, unknown>;
  data: Buffer;
}

const device = new ChildDevice({ faults: true });
let good: Buffer;

beforeAll(async () => {
  good = await aCheckpoint(STEP);
});
afterAll(() => device.close());

describe("a checkpoint", () => {
  test("says what it holds, and from what it came", () => {
    const { header, manifest, data } = take(good);
    expect(manifest).toMatchObject({
      format: "ckpt/1",
      lease: { job: JOB, epoch: 4 },
      step: STEP,
      of: 8,
      stage: "denoise",
      build: REFERENCE_BUILD,
      compat: compatKey(SPEC, SPEC.prompt),
      gpu: "CPU",
      world_size: 1,
      sampler: { name: "flow-ab2", shift: 3, sigma: sigmaAt(STEP, 8), seed: 7 },
      tensors: [
        { name: "latents", dtype: "F32", shape: SHAPE },
        { name: "velocity", dtype: "F32", shape: SHAPE },
      ],
      sha256: createHash("sha256").update(data).digest("hex"),
      bytes: 2 * 4 * VALUES,
    });
    expect(Math.abs(Date.parse(manifest["created_at"] as string) - Date.now())).toBeLessThan(60_000);
    expect(header["latents"]).toEqual({ dtype: "F32", shape: SHAPE, data_offsets: [0, 4 * VALUES] });
    expect(data.readFloatLE(4)).toBe(Math.fround(1 / 3));
  });

  test("of a finished denoise holds the latents alone, and says that only the decoding is left", async () => {
    const { manifest, data } = take(await aCheckpoint(8));
    expect(manifest).toMatchObject({ stage: "decode-pending", step: 8, bytes: 4 * VALUES });
    expect(data.length).toBe(4 * VALUES);
  });

  test("of a finished denoise resumes in the decoding, and gives the same video", async () => {
    const spec = aSpec({ prompt: "!idle=40 a red fox in the snow" });
    const whole = await runJob(device, await aJob({ spec }));
    const saved = whole.events.findLast((event) => event.t === "checkpoint");
    if (saved?.t !== "checkpoint" || whole.ending.t !== "artifact") throw new Error("it ends with a video");
    expect(saved.step).toBe(8);
    const resumed = await runJob(
      device,
      await aJob({ lease: { job: JOB, epoch: 2 }, checkpoint: { path: saved.path, writtenFor: JOB } }),
    );
    expect(resumed.events.flatMap((event) => (event.t === "stage" ? [event.stage] : []))).toEqual(["load", "decode"]);
    expect(resumed.events.some((event) => event.t === "step" && event.stage === "denoise")).toBe(false);
    // The encoder's threads may cut the same frames into other bytes.
    const { latents_sha256, frames_sha256 } = whole.ending.artifact;
    expect(resumed.ending).toMatchObject({ artifact: { latents_sha256, frames_sha256 } });
  });
});

const changed = (change: (parts: Parts) => void) => (): Buffer => {
  const parts = take(good);
  change(parts);
  return give(parts);
};
const inManifest = (field: string, value: unknown) => changed(({ manifest }) => (manifest[field] = value));
const header = (text: string, data: Buffer = Buffer.alloc(0)): Buffer => {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(Buffer.byteLength(text)));
  return Buffer.concat([length, Buffer.from(text), data]);
};

const DAMAGED: readonly (readonly [string, string, () => Buffer | Promise<Buffer>])[] = [
  ["truncated", "an empty file", () => Buffer.alloc(0)],
  ["truncated", "five bytes", () => good.subarray(0, 5)],
  ["truncated", "cut in the header", () => good.subarray(0, 100)],
  ["truncated", "cut after the header", () => good.subarray(0, good.length - 2 * 4 * VALUES)],
  ["truncated", "cut in the tensors", () => good.subarray(0, good.length - 4)],
  ["wrong_tensors", "with bytes behind its end", () => Buffer.concat([good, Buffer.alloc(4)])],
  ["wrong_hash", "with a bit flipped in the first tensor", () => flipped(good, good.length - 2 * 4 * VALUES + 11)],
  ["wrong_hash", "with the last bit flipped", () => flipped(good, good.length - 1)],
  ["wrong_hash", "whose manifest names another hash", inManifest("sha256", "0".repeat(64))],
  ["not_safetensors", "an image", () => readFile(new URL("../support/first-frame.png", import.meta.url))],
  ["not_safetensors", "a text", () => Buffer.from("no tensors here, just a text that is long enough")],
  ["not_safetensors", "zeros", () => Buffer.alloc(4_096)],
  ["not_safetensors", "with a header that is no JSON", () => header("{".repeat(64))],
  ["not_safetensors", "with a header nested deep", () => header("[".repeat(500_000))],
  ["not_safetensors", "with a header that is no UTF-8", () => flipped(header('{"a":"é"}'), 14, 0x80)],
  ["not_safetensors", "with a header that is a list", () => header("[]")],
  ["not_safetensors", "with negative offsets", changed((parts) => entry(parts, { data_offsets: [-4, 0] }))],
  ["header_too_large", "with a header of 2 MiB", () => header(" ".repeat(2 * 1024 ** 2))],
  [
    "no_manifest",
    "a tensor file of others",
    () => header('{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}', Buffer.alloc(4)),
  ],
  ["no_manifest", "with a manifest that is no JSON", changed(({ header: h }) => (h["__metadata__"] = { ckpt: "{" }))],
  ["no_manifest", "of a later format", inManifest("format", "ckpt/2")],
  ["no_manifest", "without a step", inManifest("step", undefined)],
  ["other_build", "of another build", inManifest("build", "reference-0")],
  ["other_job", "of another job", inManifest("lease", { job: VideoId.parse(`video_${"b".repeat(32)}`), epoch: 1 })],
  ["other_spec", "of another picture", inManifest("compat", "1".repeat(64))],
  ["wrong_step", "of more steps", inManifest("of", 9)],
  ["wrong_step", "beyond the last step", inManifest("step", 9)],
  ["wrong_step", "of another stage", inManifest("stage", "decode-pending")],
  [
    "wrong_step",
    "of another seed",
    changed(({ manifest }) => Object.assign(manifest["sampler"] as object, { seed: 8 })),
  ],
  [
    "wrong_tensors",
    "without the history",
    changed(({ header: h, manifest }) => {
      delete h["velocity"];
      manifest["tensors"] = (manifest["tensors"] as unknown[]).slice(0, 1);
    }),
  ],
  ["wrong_tensors", "of another shape", changed((parts) => entry(parts, { shape: [7, 40, 24, 4] }))],
  ["wrong_tensors", "of a smaller shape", changed((parts) => entry(parts, { shape: [7, 24, 40, 2] }))],
  ["wrong_tensors", "of a huge shape", changed((parts) => entry(parts, { shape: [2 ** 40, 2 ** 40] }))],
  ["wrong_tensors", "of half floats", changed((parts) => entry(parts, { dtype: "F16" }))],
  [
    "wrong_tensors",
    "with tensors that overlap",
    changed((parts) => entry(parts, { data_offsets: [4, 4 * VALUES + 4] })),
  ],
  ["wrong_tensors", "whose manifest says other shapes", inManifest("tensors", [])],
];

describe("a file that is no checkpoint of this job is refused, and the engine lives on:", () => {
  test.each(DAMAGED)("%s, %s", async (fault, _what, make) => {
    const job = await aJob();
    const path = join(job.dir, "resume.safetensors");
    await writeFile(path, await make());
    const pid = device.pid;
    const { ending } = await runJob(device, {
      ...job,
      lease: { job: JOB, epoch: 5 },
      checkpoint: { path, writtenFor: JOB },
    });
    expect(ending).toMatchObject({ t: "failed", error: { class: "retryable", code: "bad_checkpoint" } });
    expect(ending.t === "failed" && ending.error.detail).toMatch(new RegExp(`^${fault}: `));
    expect(await readdir(job.dir)).toEqual(["resume.safetensors"]);
    expect(device.pid).toBe(pid);
  });

  test("unreadable, a folder", async () => {
    const { dir } = await aJob();
    const resuming = { job: JOB, spec: SPEC, compat: compatKey(SPEC, SPEC.prompt) };
    await expect(loadCheckpoint(dir, resuming)).rejects.toMatchObject({ fault: "unreadable" });
  });

  test("and a whole one is taken by the same engine", async () => {
    const job = await aJob();
    const path = join(job.dir, "resume.safetensors");
    await writeFile(path, good);
    const { ending } = await runJob(device, {
      ...job,
      lease: { job: JOB, epoch: 5 },
      checkpoint: { path, writtenFor: JOB },
    });
    expect(ending.t).toBe("artifact");
  });
});

test("a writer killed at any moment leaves no half file under a final name", { timeout: 600_000 }, async () => {
  const rounds = 24 * Number(process.env["FC_RUNS"] ?? 1);
  const { dir } = await aJob();
  const spec = aSpec({ width: 640, height: 360, frames: 120 });
  const resuming = { job: JOB, spec, compat: compatKey(spec, spec.prompt) };
  let halves = 0;
  let wholes = 0;
  for (let round = 0; round < rounds; round++) {
    const writer = fork(new URL("./checkpoint-writer.ts", import.meta.url), [dir, JSON.stringify(spec)]);
    await once(writer, "message");
    await new Promise((resolve) => setTimeout(resolve, (round * 37) % 50));
    writer.kill("SIGKILL");
    await once(writer, "exit");
    for (const name of await readdir(dir)) {
      if (!name.endsWith(".safetensors")) {
        halves++;
        await rm(join(dir, name));
        continue;
      }
      const { step, latents } = await loadCheckpoint(join(dir, name), resuming);
      expect(`checkpoint-${step}.safetensors`).toBe(name);
      expect(latents.every((value) => value === latents[0])).toBe(true);
      wholes++;
    }
  }
  console.info(`${rounds} kills, ${halves} of them within a write, ${wholes} whole files read back`);
  // The kills did hit writers at work, and there was something to look at.
  expect(halves).toBeGreaterThan(0);
  expect(wholes).toBeGreaterThanOrEqual(rounds);
});

async function aCheckpoint(step: number): Promise<Buffer> {
  const dir = await mkdtemp(join(tmpdir(), "callsheet-test-"));
  const path = join(dir, "x.safetensors");
  const latents = Float32Array.from({ length: VALUES }, (_, i) => i / 3);
  const velocity = step < 8 ? latents.map((value) => -value) : new Float32Array(0);
  const state = { step, latents, velocity };
  const said = await saveCheckpoint(path, { job: JOB, epoch: 4 }, SPEC, compatKey(SPEC, SPEC.prompt), state);
  const file = await readFile(path);
  expect(said).toEqual({ sha256: createHash("sha256").update(file).digest("hex"), bytes: file.length });
  expect(await readdir(dir)).toEqual(["x.safetensors"]);
  await rm(dir, { recursive: true });
  return file;
}

/** Apart, by the container's own description and not by our reader. */
function take(file: Buffer): Parts {
  const length = Number(file.readBigUInt64LE(0));
  const json = JSON.parse(file.subarray(8, 8 + length).toString()) as Record<string, unknown>;
  const { ckpt } = json["__metadata__"] as { ckpt: string };
  return { header: json, manifest: JSON.parse(ckpt) as Record<string, unknown>, data: file.subarray(8 + length) };
}

/** Together again; a manifest that was changed takes the place of the old one, unless the header lost it. */
function give({ header: json, manifest, data }: Parts): Buffer {
  const { ckpt } = json["__metadata__"] as { ckpt: string };
  if (ckpt.length > 2) json["__metadata__"] = { ckpt: JSON.stringify(manifest) };
  return header(JSON.stringify(json), data);
}

function entry({ header: json }: Parts, change: Record<string, unknown>): void {
  Object.assign(json["latents"] as object, change);
}

function flipped(file: Buffer, at: number, bits = 1): Buffer {
  const copy = Buffer.from(file);
  copy[at] = (copy[at] ?? 0) ^ bits;
  return copy;
}
