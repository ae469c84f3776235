/**
 * Stands in for a vLLM-Omni or SGLang server, as their documentation and code describe `/v1/videos`, quirks included. A program:
 * `node stand-in.ts --port N --api vllm-omni|sglang [--step-ms N] [--dir PATH] [--drains]`.
 *
 * One engine behind it renders one video after the other, real MP4s of plain pictures. Prompts break it: `!oom` fails the video,
 * `!close` closes the engine behind the open port (all later videos are answered with 504), `!hang` never ends, `!exit` ends the process.
 */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage } from "node:http";
import { mkdtemp, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { writeMp4 } from "#gpu-runner/mp4/write-mp4.ts";

const { values } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    api: { type: "string", default: "vllm-omni" },
    "step-ms": { type: "string", default: "20" },
    /** Where its videos are kept; whoever starts it removes it. */
    dir: { type: "string", default: tmpdir() },
    /** An abort waits for the end of the video, as in pipelines without steps of their own. */
    drains: { type: "boolean", default: false },
  },
});
const isSglang = values.api === "sglang";
const stepMs = Number(values["step-ms"]);
const folder = await mkdtemp(join(values.dir, "callsheet-stand-in-"));

interface Wanted {
  readonly prompt: string;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly frames: number;
  readonly steps: number;
  readonly seed: number;
}

interface Job {
  readonly id: string;
  status: "queued" | "in_progress" | "completed" | "failed";
  error: string | null;
  aborted: boolean;
  readonly wanted: Wanted;
}

const jobs = new Map<string, Job>();
let engine: Promise<void> = Promise.resolve();
let isClosed = false;
let running = 0;
/** Most videos that were under way at once; it must stay at one. */
let together = 0;

async function render(job: Job): Promise<void> {
  const { prompt, width, height, fps, frames, steps, seed } = job.wanted;
  if (job.aborted) return;
  together = Math.max(together, ++running);
  try {
    job.status = "in_progress";
    for (let step = 1; step <= steps; step++) {
      await pause(stepMs);
      if (job.aborted && !isSglang && !values.drains) return;
      if (prompt.includes("!exit")) process.exit(1);
      if (prompt.includes("!close")) isClosed = true;
      while (prompt.includes("!hang") && !(job.aborted && !isSglang)) await pause(stepMs);
      if (prompt.includes("!oom")) throw new Error("CUDA out of memory. Tried to allocate 20.00 GiB");
    }
    await writeMp4(
      join(folder, `${job.id}.mp4`),
      { width, height, fps, frames },
      {
        paint: (frame, rgba) => void rgba.fill((37 * seed + 11 * prompt.length + 5 * frame) % 256),
        stopped: () => false,
        progress: () => undefined,
      },
    );
    job.status = "completed";
  } catch (fault) {
    job.error = String(fault);
    job.status = "failed";
  } finally {
    running--;
  }
}

class Refused extends Error {
  readonly status: number;
  constructor(status: number, detail: string) {
    super(detail);
    this.status = status;
  }
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** vLLM-Omni takes multipart alone; SGLang takes JSON, or multipart with an image. */
async function wantedOf(request: IncomingMessage): Promise<Wanted> {
  const type = request.headers["content-type"] ?? "";
  const bytes = await bytesOf(request);
  const fields = new Map<string, string>();
  if (type.startsWith("multipart/form-data")) {
    const form = await new Response(new Uint8Array(bytes), { headers: { "content-type": type } }).formData();
    if (isSglang && form.get("input_reference") === null) throw new Refused(400, "input_reference file is required");
    for (const [name, value] of form) if (typeof value === "string") fields.set(name, value);
  } else {
    if (!isSglang) throw new Refused(422, "Field required: prompt");
    for (const [name, value] of Object.entries(JSON.parse(bytes.toString()) as object)) fields.set(name, String(value));
  }
  const number = (name: string, byDefault: number): number => Number(fields.get(name) ?? byDefault);
  const [width = 640, height = 480] = (fields.get("size") ?? "")
    .split("x")
    .map(Number)
    .filter((side) => side > 0);
  const prompt = fields.get("prompt");
  if (prompt === undefined || prompt === "") throw new Refused(isSglang ? 400 : 422, "prompt is required");
  if (number("num_inference_steps", 30) > 50) throw new Refused(400, "num_inference_steps must be at most 50");
  const fps = number("fps", 24);
  return {
    prompt,
    width: number("width", width),
    height: number("height", height),
    fps,
    frames: number("num_frames", isSglang ? fps * number("seconds", 4) : 1),
    steps: number("num_inference_steps", 30),
    seed: number("seed", 0),
  };
}

function shown({ id, status, error }: Job): object {
  // SGLang knows no state between waiting and done.
  const state = isSglang && status === "in_progress" ? "queued" : status;
  return {
    id,
    object: "video",
    status: state,
    created_at: 1,
    ...(error === null ? {} : { error: { message: error } }),
  };
}

function known(id: string): Job {
  const job = jobs.get(id);
  if (job === undefined) throw new Refused(404, "Video not found");
  return job;
}

async function answer(request: IncomingMessage): Promise<object | Buffer> {
  const path = new URL(request.url ?? "/", "http://stand-in").pathname;
  if (path === "/health") return {};
  if (path === "/together") return { together };
  if (isClosed && request.method === "POST") throw new Refused(504, "the engine does not answer");
  if (path === "/v1/videos" && request.method === "POST") {
    const wanted = await wantedOf(request);
    const job: Job = { id: randomUUID(), status: "queued", error: null, aborted: false, wanted };
    jobs.set(job.id, job);
    engine = engine.then(() => render(job));
    return shown(job);
  }
  const [, , , id = "", tail] = path.split("/");
  const job = known(id);
  if (request.method === "DELETE") {
    job.aborted = true;
    jobs.delete(id);
    return { ...shown(job), status: "deleted" };
  }
  if (tail !== "content") return shown(job);
  if (job.status !== "completed") throw new Refused(404, "Generation is still in-progress");
  return readFile(join(folder, `${id}.mp4`));
}

const server = createServer((request, response) => {
  answer(request).then(
    (said) => {
      const isFile = Buffer.isBuffer(said);
      response.writeHead(200, { "content-type": isFile ? "video/mp4" : "application/json" });
      response.end(isFile ? said : JSON.stringify(said));
    },
    (fault: unknown) => {
      const status = fault instanceof Refused ? fault.status : 500;
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify({ detail: fault instanceof Error ? fault.message : String(fault) }));
    },
  );
});
server.listen(Number(values.port), "127.0.0.1", () => {
  const address = server.address();
  process.send?.(typeof address === "object" ? address?.port : null);
});
process.on("disconnect", () => process.exit(0));
