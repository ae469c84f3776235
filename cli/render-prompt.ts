/** `npm start -- "prompt"`: submits the prompt like any client, shows it live, saves the MP4. */
import { stat } from "node:fs/promises";
import { relative, resolve } from "node:path";
import type { PromptRequest } from "./config.ts";
import { followVideo } from "./follow-video.ts";
import { duration, progressLine } from "./progress-line.ts";
import type { Terminal } from "./terminal.ts";
import { cancelVideo, downloadVideo, submitVideo, type ApiAccess } from "./video-client.ts";

/** Lines of a log, not of a terminal, need not move ten times a second. */
const PLAIN_STEP_PERCENT = 10;

/** Resolves to the saved file; throws when the video failed. */
export async function renderPrompt(
  request: PromptRequest,
  api: ApiAccess,
  terminal: Terminal,
  signal: AbortSignal,
): Promise<string> {
  const startedAt = Date.now();
  const submitted = await submitVideo(api, { ...request.fields, prompt: request.prompt });
  terminal.line(
    `${submitted.id}: ${submitted.size}, ${submitted.seconds} s, ${submitted.model}, ${submitted.usage.reserved} credits`,
  );
  let drawn = "";
  const following = followVideo({
    api,
    submitted,
    signal,
    draw: (progress) => {
      const mark = `${progress.state} ${progress.position} ${Math.floor(progress.progress / PLAIN_STEP_PERCENT)}`;
      if (!terminal.isTty && mark === drawn) return;
      drawn = mark;
      terminal.status(progressLine(progress, terminal.columns));
    },
  });
  const finished = await following.catch(async (error: unknown) => {
    // Whoever stops waiting does not want the video to be rendered at the next start.
    await cancelVideo(api, submitted.id).catch(() => undefined);
    throw error;
  });
  terminal.status("");
  if (finished.status === "failed") {
    throw new Error(`${finished.id} failed: ${finished.error?.message ?? "no reason given"}`);
  }
  const file = request.outputFile ?? resolve(request.outputDir, `${finished.id}.mp4`);
  await downloadVideo(api, finished.id, file);
  const { size } = await stat(file);
  const shown = relative(process.cwd(), file);
  terminal.line(
    `Saved ${shown.startsWith("..") ? file : `./${shown}`} (${finished.size}, ${finished.seconds} s, ` +
      `${(size / 1024).toFixed(0)} KiB, ${finished.usage.charged} credits) after ${duration((Date.now() - startedAt) / 1000)}.`,
  );
  return file;
}
