/**
 * The `/v1/videos` of vLLM-Omni and of SGLang, as we use it. They agree on paths and states; how a video is asked for differs,
 * and so does what a `DELETE` does: vLLM-Omni tries to abort, SGLang only forgets the record and renders on.
 */
import { createHash } from "node:crypto";
import { openAsBlob } from "node:fs";
import { z } from "zod";
import { Sha256Hex } from "#protocol/id.ts";
import { writeAll, writeWhole } from "../../whole-file.ts";
import type { Api } from "./server-file.ts";

const CALL_MS = 30_000;
const FETCH_MS = 600_000;
const VIDEO_BYTES_MAX = 4 * 1024 ** 3;
const SAID_CHARS_MAX = 500;
const NOT_FOUND = 404;

export interface Order {
  readonly prompt: string;
  readonly negativePrompt: string;
  readonly width: number;
  readonly height: number;
  readonly fps: number;
  readonly frames: number;
  readonly steps: number;
  readonly seed: number;
  readonly referencePath: string | null;
}

export interface ServerTerms {
  readonly api: Api;
  readonly url: string;
  readonly apiKey: string | null;
  readonly model: string | null;
  readonly extra: Readonly<Record<string, string | number | boolean>>;
}

/** Other states count as not over: servers add some. */
const Job = z.object({
  id: z.string().min(1),
  status: z.string(),
  error: z.object({ message: z.string().optional() }).nullish(),
});
export type ServerJob = z.infer<typeof Job>;

/** It answered, and not with what was asked for. */
export class ServerRefused extends Error {
  override readonly name = "ServerRefused";
  readonly status: number;
  readonly said: string;
  constructor(what: string, status: number, said: string) {
    super(`${what}: ${status} ${said}`);
    this.status = status;
    this.said = said;
  }
}

/** It did not answer, or not in words that we know. */
export class ServerLost extends Error {
  override readonly name = "ServerLost";
}

export class VideoServer {
  readonly #terms: ServerTerms;

  constructor(terms: ServerTerms) {
    this.#terms = terms;
  }

  async create(order: Order, signal: AbortSignal): Promise<ServerJob> {
    const body = this.#terms.api === "vllm-omni" ? await this.#form(order) : this.#json(order);
    const answer = await this.#call("POST", "/v1/videos", signal, body);
    return jobOf(await answer.text());
  }

  /** Null: it knows of none, e.g. because it was started anew. */
  async read(id: string, signal: AbortSignal): Promise<ServerJob | null> {
    try {
      return jobOf(await (await this.#call("GET", pathOf(id), signal)).text());
    } catch (fault) {
      if (fault instanceof ServerRefused && fault.status === NOT_FOUND) return null;
      throw fault;
    }
  }

  /** That it is no longer wanted; whether it stops is another matter. */
  async drop(id: string, signal: AbortSignal): Promise<void> {
    try {
      const answer = await this.#call("DELETE", pathOf(id), signal);
      await answer.body?.cancel();
    } catch (fault) {
      if (!(fault instanceof ServerRefused && fault.status === NOT_FOUND)) throw fault;
    }
  }

  /** The file is there only if it is whole. */
  async fetch(
    id: string,
    path: string,
    signal: AbortSignal,
  ): Promise<{ readonly bytes: number; readonly sha256: Sha256Hex }> {
    const answer = await this.#call("GET", `${pathOf(id)}/content`, signal, null, FETCH_MS);
    const hash = createHash("sha256");
    let bytes = 0;
    await writeWhole(path, async (file) => {
      for await (const chunk of answer.body ?? []) {
        bytes += chunk.length;
        if (bytes > VIDEO_BYTES_MAX) throw new ServerLost(`the video is larger than ${VIDEO_BYTES_MAX} bytes`);
        hash.update(chunk);
        await writeAll(file, chunk);
      }
      if (bytes === 0) throw new ServerLost("the video is empty");
    });
    return { bytes, sha256: Sha256Hex.parse(hash.digest("hex")) };
  }

  /** Multipart is all it takes. Without `num_frames` it makes one frame. */
  async #form(order: Order): Promise<FormData> {
    const form = new FormData();
    const fields = { ...this.#fields(order), width: order.width, height: order.height };
    for (const [name, value] of Object.entries(fields)) form.set(name, String(value));
    if (order.referencePath !== null) form.set("input_reference", await openAsBlob(order.referencePath), "reference");
    return form;
  }

  /** JSON, because its multipart demands an image and leaves out seed and steps. The image is read from the disk that we share. */
  #json(order: Order): string {
    return JSON.stringify({
      ...this.#fields(order),
      size: `${order.width}x${order.height}`,
      ...(order.referencePath === null ? {} : { input_reference: order.referencePath }),
    });
  }

  #fields({ prompt, negativePrompt, fps, frames, steps, seed }: Order) {
    const { model, extra } = this.#terms;
    return {
      prompt,
      ...(negativePrompt === "" ? {} : { negative_prompt: negativePrompt }),
      ...(model === null ? {} : { model }),
      fps,
      num_frames: frames,
      num_inference_steps: steps,
      seed,
      ...extra,
    };
  }

  async #call(
    method: string,
    path: string,
    signal: AbortSignal,
    body: FormData | string | null = null,
    withinMs = CALL_MS,
  ): Promise<Response> {
    const { url, apiKey } = this.#terms;
    const headers = {
      ...(apiKey === null ? {} : { authorization: `Bearer ${apiKey}` }),
      ...(typeof body === "string" ? { "content-type": "application/json" } : {}),
    };
    const what = `${method} ${path}`;
    const patience = AbortSignal.any([signal, AbortSignal.timeout(withinMs)]);
    const answer = await fetch(new URL(path, url), { method, headers, body, signal: patience }).catch(
      (cause: unknown) => {
        signal.throwIfAborted();
        throw new ServerLost(`${what} was not answered`, { cause });
      },
    );
    if (answer.ok) return answer;
    throw new ServerRefused(what, answer.status, (await answer.text().catch(() => "")).slice(0, SAID_CHARS_MAX));
  }
}

function pathOf(id: string): string {
  return `/v1/videos/${encodeURIComponent(id)}`;
}

function jobOf(text: string): ServerJob {
  try {
    return Job.parse(JSON.parse(text));
  } catch (cause) {
    throw new ServerLost(`an answer is no video: ${text.slice(0, SAID_CHARS_MAX)}`, { cause });
  }
}
