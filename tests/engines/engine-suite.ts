/**
 * What every engine promises, by its declared capabilities. An engine's test file calls `conforms` with its subject, and has
 * tests of its own only for what is its own.
 */
import { createHash } from "node:crypto";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readMp4 } from "#tests/support/mp4.ts";
import { until } from "#tests/support/product.ts";
import {
  aJob,
  type Checkpoint,
  checkpointsOf,
  denoiseSteps,
  isEnding,
  JOB,
  type OpenDevice,
  OTHER_JOB,
  picturesOf,
  play,
  type Played,
  processesOf,
  type Subject,
  WRONG_ANSWER,
} from "./subject.ts";

const GONE_MS = 30_000;
/** Two processes that load their libraries from a cold disk. */
const START_MS = 300_000;
/** Whatever else the machine does, nothing there may count as a hang. */
const PATIENT_MS = 120_000;
/** Long enough for an order to come between two steps. */
const IDLE = "!idle=60 ";

export function conforms(subject: Subject): void {
  const { spec, caps } = subject;
  /** Healthy, whatever it goes through. */
  let device: OpenDevice;
  /** Another process, whose hangs are noticed soon, and which does not give the known answer once it has failed. */
  let frail: OpenDevice;
  let whole: Played;
  beforeAll(async () => {
    [device, frail] = [
      subject.open({ hangMsMin: PATIENT_MS }),
      subject.open({ hangMsMin: subject.hangMs, knownAnswer: WRONG_ANSWER }),
    ];
    const playOnce = async (one: OpenDevice) => play(one, await aJob(subject, {}, undefined, afterAll));
    [whole] = await Promise.all([playOnce(device), playOnce(frail)]);
  }, START_MS);
  afterAll(() => Promise.all([device.close(), frail.close()]));

  const idle = { prompt: `${IDLE}${spec.prompt}` };
  const stopAt =
    (step: number, why: "preempt" | "cancel" | "drain") =>
    (event: Played["events"][number], run: { stop(w: typeof why): void }) => {
      if (event.t === "step" && event.stage === "denoise" && event.done === step) run.stop(why);
    };

  /** A run that was pushed aside after `step`, and the checkpoint it left. */
  async function preempted(step: number, from?: Checkpoint, cleanUp?: typeof afterAll): Promise<Checkpoint> {
    const job = await aJob(subject, idle, from, cleanUp);
    const { events, ending } = await play(device, job, stopAt(step, "preempt"));
    const saved = checkpointsOf(events).at(-1);
    if (ending.t !== "stopped" || saved === undefined) throw new Error(`it went on: ${JSON.stringify(ending)}`);
    expect(ending.step).toBe(saved.step);
    expect(saved.step).toBeGreaterThanOrEqual(step);
    return saved;
  }

  describe(`${subject.name}: a video`, () => {
    test("goes through its stages and counts every step once", async () => {
      const stages = whole.events.flatMap((event) => (event.t === "stage" ? [event.stage] : []));
      expect(stages).toEqual(["load", "encode", "denoise", "decode"]);
      if (caps.step_progress) expect(denoiseSteps(whole.events)).toEqual(stepsFrom(1, spec.steps));
      expect(whole.events.filter(isEnding)).toHaveLength(1);
      expect(whole.events.at(-1)).toBe(whole.ending);
    });

    test("is an MP4 of exactly the asked size, frames and duration", async () => {
      const played = await play(device, await aJob(subject));
      if (played.ending.t !== "artifact") throw new Error(JSON.stringify(played.ending));
      const file = await readFile(played.ending.path);
      expect(played.ending.artifact).toMatchObject({ sha256: sha256(file), bytes: file.length });
      const { width, height, frames, fps } = spec;
      const seconds = frames / fps;
      expect(readMp4(file)).toEqual({ codec: "avc1", width, height, frames, seconds, fastStart: true });
    });

    test("is the same again, and another one for another seed or prompt", async () => {
      const pictures = async (change: object) => picturesOf(await play(device, await aJob(subject, change)));
      expect(await pictures({})).toEqual(picturesOf(whole));
      expect((await pictures({ seed: spec.seed + 1 })).latents).not.toBe(picturesOf(whole).latents);
      expect((await pictures({ prompt: "a city at night" })).latents).not.toBe(picturesOf(whole).latents);
    });
  });

  describe(`${subject.name}: stopped`, () => {
    test("by a cancel, it ends within one step", async () => {
      const { events, ending } = await play(device, await aJob(subject, idle), stopAt(2, "cancel"));
      expect(ending.t).toBe("stopped");
      const after = denoiseSteps(events).filter((done) => done > 2);
      if (caps.cancel === "step") expect(after.length).toBeLessThanOrEqual(1);
    });

    test("while it loads, it says so and the device takes the next job", async () => {
      const { ending } = await play(device, await aJob(subject), (event, run) => {
        if (event.t === "stage" && event.stage === "load") run.stop("drain");
      });
      expect(ending.t).toBe("stopped");
      expect((await play(device, await aJob(subject))).ending.t).toBe("artifact");
    });

    test("by force, it says nothing more, its process is gone, and the device takes the next job", async () => {
      const { pid } = device;
      const heard: Played["events"][number][] = [];
      const run = device.start(await aJob(subject, idle), (event) => heard.push(event));
      await until("it renders", GONE_MS, () => Promise.resolve(denoiseSteps(heard).length > 0));
      run.kill();
      const said = heard.length;
      if (pid !== null) await gone(pid);
      expect(picturesOf(await play(device, await aJob(subject)))).toEqual(picturesOf(whole));
      expect(heard).toHaveLength(said);
    });
  });

  describe.runIf(caps.checkpoint !== "none")(`${subject.name}: a checkpoint`, () => {
    test("lets another process go on where the first one stopped", async () => {
      const saved = await preempted(3);
      const resumed = await play(frail, await aJob(subject, {}, saved));
      expect(denoiseSteps(resumed.events)).toEqual(stepsFrom(saved.step + 1, spec.steps));
      if (caps.checkpoint !== "exact") return;
      expect(saved.exactness).toBe("exact");
      expect(picturesOf(resumed)).toEqual(picturesOf(whole));
    });

    test.runIf(caps.checkpoint === "exact")(
      "twice, across two processes: the video equals the uninterrupted one",
      async () => {
        const first = await preempted(2);
        const { events } = await play(frail, await aJob(subject, idle, first), stopAt(first.step + 2, "preempt"));
        const [saved] = checkpointsOf(events).slice(-1);
        if (saved === undefined) throw new Error("no second checkpoint");
        expect(saved.step).toBeGreaterThan(first.step);
        expect(picturesOf(await play(device, await aJob(subject, {}, saved)))).toEqual(picturesOf(whole));
      },
    );

    test("of the last step has only the decoding before it", async () => {
      const { events } = await play(device, await aJob(subject, { prompt: `!idle=80 ${spec.prompt}` }));
      const saved = checkpointsOf(events).at(-1);
      if (saved?.step !== spec.steps) throw new Error("the final latents were not saved");
      const resumed = await play(device, await aJob(subject, {}, saved));
      expect(denoiseSteps(resumed.events)).toEqual([]);
      expect(picturesOf(resumed)).toEqual(picturesOf(whole));
    });

    test.runIf(caps.checkpoint === "exact")(
      "of a draft is where its rest begins, for another video and in another process: it equals the undrafted one",
      async () => {
        const draftSteps = 3;
        const draft = await play(device, await aJob(subject, { stop_after: draftSteps }));
        expect(draft.ending.t).toBe("artifact");
        expect(denoiseSteps(draft.events)).toEqual(stepsFrom(1, draftSteps));
        const saved = checkpointsOf(draft.events).at(-1);
        if (saved?.step !== draftSteps) throw new Error("the draft left no checkpoint where it ended");
        expect(draft.events.indexOf(saved)).toBeLessThan(draft.events.indexOf(draft.ending));
        expect(picturesOf(draft)).not.toEqual(picturesOf(whole));
        // What remained to do was the decoding.
        const again = await play(frail, await aJob(subject, { stop_after: draftSteps }, saved));
        expect(denoiseSteps(again.events)).toEqual([]);
        expect(picturesOf(again)).toEqual(picturesOf(draft));
        const rest = await play(frail, { ...(await aJob(subject, {}, saved)), lease: { job: OTHER_JOB, epoch: 1 } });
        expect(denoiseSteps(rest.events)).toEqual(stepsFrom(draftSteps + 1, spec.steps));
        expect(picturesOf(rest)).toEqual(picturesOf(whole));
      },
    );

    test("that is not whole, or not this job's, is refused with its reason, and the one before it is used", async () => {
      const before = await preempted(2);
      const newest = await preempted(before.step + 2, before);
      const file = await readFile(newest.path);
      const job = await aJob(subject);
      const path = join(job.dir, "resume.safetensors");
      const strange = {
        ...job,
        lease: { job: OTHER_JOB, epoch: 2 },
        checkpoint: { path: newest.path, writtenFor: OTHER_JOB },
      };
      const damages: readonly (readonly [string, Buffer])[] = [
        ["truncated", file.subarray(0, file.length - 4)],
        ["truncated", file.subarray(0, 100)],
        ["truncated", Buffer.alloc(0)],
        ["wrong_hash", flipped(file, file.length - 1)],
        ["wrong_hash", flipped(file, file.length - Math.floor(file.length / 3))],
        ["not_safetensors", Buffer.from("no tensors here, just a text that is long enough")],
        ["no_manifest", foreign()],
      ];
      const { pid } = device;
      for (const [fault, bytes] of damages) {
        await writeFile(path, bytes);
        await refused(fault, { ...job, checkpoint: { path, writtenFor: JOB } });
      }
      await refused("other_job", strange);
      await refused("other_spec", {
        ...job,
        spec: { ...spec, seed: spec.seed + 1 },
        checkpoint: { path: newest.path, writtenFor: JOB },
      });
      expect(device.pid).toBe(pid);
      expect(await readdir(job.dir)).toEqual(["resume.safetensors"]);
      expect(picturesOf(await play(device, await aJob(subject, {}, before)))).toEqual(picturesOf(whole));
    });

    async function refused(fault: string, job: Awaited<ReturnType<typeof aJob>>): Promise<void> {
      const { ending } = await play(device, job);
      expect(ending).toMatchObject({ t: "failed", error: { class: "retryable", code: "bad_checkpoint" } });
      expect(ending.t === "failed" && ending.error.detail).toMatch(new RegExp(`^${fault}: `));
    }
  });

  describe.runIf(subject.faultKnobs)(`${subject.name}: a fault`, () => {
    /** What becomes of the frail device, beside the tests of the other one: noticing a hang takes its time. */
    let hung: { readonly pid: number | null; readonly saved: Checkpoint | undefined; readonly played: Promise<Played> };
    let afterwards: Promise<Played>;
    beforeAll(async () => {
      const { pid } = frail;
      const saved = caps.checkpoint === "none" ? undefined : await preempted(2, undefined, afterAll);
      const hanging = await aJob(subject, { prompt: `!hang@6 ${spec.prompt}` }, saved, afterAll);
      const next = await aJob(subject, {}, undefined, afterAll);
      const played = play(frail, hanging);
      hung = { pid, saved, played };
      afterwards = played.then(() => play(frail, next));
    });

    test.each([
      ["a crash", "!crash", { class: "engine_fatal", code: "exited" }],
      ["memory that does not suffice", "!oom", { class: "capacity", code: "oom_denoise" }],
      ["latents that are no numbers", `!nan@${spec.steps}`, { class: "engine_fatal", code: "nan_latents" }],
    ])("%s is reported as such, and the device takes the next job", async (_what, knob, error) => {
      const { ending, events } = await play(device, await aJob(subject, { prompt: `${knob} ${spec.prompt}` }));
      expect(ending).toMatchObject({ t: "failed", error });
      expect(checkpointsOf(events).every(({ step }) => knob !== `!nan@${step}`)).toBe(true);
      expect(picturesOf(await play(device, await aJob(subject)))).toEqual(picturesOf(whole));
    });

    test("memory that does not suffice for the decode costs no step", async () => {
      const { ending, events } = await play(
        device,
        await aJob(subject, { prompt: `!oom-decode !idle=80 ${spec.prompt}` }),
      );
      const saved = checkpointsOf(events).at(-1);
      if (subject.decodesInTiles) {
        expect(ending).toMatchObject({ t: "artifact", artifact: { latents_sha256: picturesOf(whole).latents } });
      } else {
        expect(ending).toMatchObject({ t: "failed", error: { class: "capacity", code: "oom_decode" } });
      }
      if (caps.checkpoint === "none") return;
      expect(saved?.step).toBe(spec.steps);
      const resumed = await play(device, await aJob(subject, {}, saved));
      expect(denoiseSteps(resumed.events)).toEqual([]);
      expect(picturesOf(resumed)).toEqual(picturesOf(whole));
    });

    test("a hang is killed with all of its processes, and another process goes on from the last checkpoint", async () => {
      const { pid, saved, played } = hung;
      expect((await played).ending).toMatchObject({ t: "failed", error: { class: "engine_fatal", code: "hung_step" } });
      if (pid !== null) await gone(pid);
      expect(picturesOf(await play(device, await aJob(subject, {}, saved)))).toEqual(picturesOf(whole));
    });

    test("after one, a device that does not give the known answer gives its jobs back as its own fault", async () => {
      const error = { class: "gpu_fatal", code: "known_answer" };
      expect((await afterwards).ending).toMatchObject({ t: "failed", error });
    });
  });

  test(`${subject.name}: a closed device leaves no process, and with it no memory`, async () => {
    expect((await play(device, await aJob(subject))).ending.t).toBe("artifact");
    const { pid } = device;
    await device.close();
    if (pid !== null) await gone(pid);
  });
}

/** On Linux every process of the group; elsewhere nobody asks. */
async function gone(pid: number): Promise<void> {
  if (process.platform !== "linux") return;
  await until(`no process of ${pid} is left`, GONE_MS, async () => (await processesOf(pid)).length === 0);
}

function stepsFrom(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, at) => first + at);
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function flipped(file: Buffer, at: number): Buffer {
  const copy = Buffer.from(file);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

/** A tensor file of somebody else. */
function foreign(): Buffer {
  const header = Buffer.from('{"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  return Buffer.concat([length, header, Buffer.alloc(4)]);
}
