/** The calls of `/v1/videos` that `npm start -- "prompt"` makes; the same ones any SDK makes. */
import { createWriteStream } from "node:fs";
import { rename } from "node:fs/promises";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { ErrorEnvelope } from "#protocol/error.ts";
import { Video } from "#protocol/video.ts";

const CALL_MS = 15_000;
/** A user who pressed Ctrl-C waits no longer than this. */
const CANCEL_MS = 3_000;
const DOWNLOAD_MS = 120_000;

export interface ApiAccess {
  readonly edgeUrl: string;
  readonly apiKey: string;
}

export async function submitVideo(api: ApiAccess, fields: Readonly<Record<string, string>>): Promise<Video> {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.set(name, value);
  return Video.parse(await (await call(api, "/v1/videos", { method: "POST", body: form }, CALL_MS)).json());
}

export async function getVideo(api: ApiAccess, id: string): Promise<Video> {
  return Video.parse(await (await call(api, `/v1/videos/${id}`, {}, CALL_MS)).json());
}

export async function cancelVideo(api: ApiAccess, id: string): Promise<void> {
  await call(api, `/v1/videos/${id}/cancel`, { method: "POST" }, CANCEL_MS);
}

/** Writes the MP4 beside its place and renames it, so that a file with its name is always whole. */
export async function downloadVideo(api: ApiAccess, id: string, file: string): Promise<void> {
  const response = await call(api, `/v1/videos/${id}/content`, {}, DOWNLOAD_MS);
  if (response.body === null) throw new Error("The download has no body.");
  await pipeline(Readable.fromWeb(response.body), createWriteStream(`${file}.part`));
  await rename(`${file}.part`, file);
}

async function call(api: ApiAccess, path: string, init: RequestInit, limitMs: number): Promise<Response> {
  const response = await fetch(`${api.edgeUrl}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${api.apiKey}` },
    signal: AbortSignal.timeout(limitMs),
  });
  if (response.ok) return response;
  const text = await response.text();
  throw new Error(messageOf(text) ?? `${path} was answered with ${response.status}: ${text.slice(0, 300)}`);
}

function messageOf(body: string): string | null {
  try {
    return ErrorEnvelope.parse(JSON.parse(body)).error.message;
  } catch {
    // Not one of our envelopes; the caller shows the raw text.
    return null;
  }
}
