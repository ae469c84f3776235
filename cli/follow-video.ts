/**
 * Follows one video to its end: the account's live session tells of every change and takes itself up after a cut; a slow poll
 * covers a session that is not there. `GET /v1/videos/{id}` is the truth: the end is only believed from there.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { SessionFrame, VideoStanding } from "#protocol/live-session.ts";
import type { Video } from "#protocol/video.ts";
import { EventSession, type EventSessionHost } from "./event-session.ts";
import { isWaiting, type VideoProgress } from "./progress-line.ts";
import { getVideo, type ApiAccess } from "./video-client.ts";

const POLL_WITHOUT_SOCKET_MS = 500;
const POLL_WITH_SOCKET_MS = 5_000;
/** It is the only client of its own edge. */
const RECONNECT_ALONE_MS = 1_000;
const DRAW_MS = 200;
/** A control plane that is being started again answers within seconds; ten minutes of silence is a failure. */
const FAILED_POLLS_MAX = 60;

export interface Following {
  readonly api: ApiAccess;
  readonly submitted: Video;
  readonly signal: AbortSignal;
  draw(progress: VideoProgress): void;
}

/** Resolves with the video once it is completed or failed. */
export async function followVideo(following: Following): Promise<Video> {
  const startedAt = Date.now();
  let view = viewOf(following.submitted, null);
  let runningSince: { readonly at: number; readonly from: number } | null = null;
  let wake = Promise.withResolvers<void>();
  const host: EventSessionHost = {
    heard(frame) {
      view = withFrame(view, frame, following.submitted.id);
      if (hasEnded(view)) wake.resolve();
    },
    // The poll alone goes on.
    refused: () => undefined,
  };
  const session = new EventSession(following.api, host, { withinMs: RECONNECT_ALONE_MS });
  const timer = setInterval(() => {
    if (runningSince === null && view.progress > 0) runningSince = { at: Date.now(), from: view.progress };
    following.draw({
      ...view,
      elapsedSeconds: (Date.now() - startedAt) / 1000,
      running:
        runningSince === null ? null : { seconds: (Date.now() - runningSince.at) / 1000, from: runningSince.from },
    });
  }, DRAW_MS);
  try {
    for (let failedPolls = 0; failedPolls < FAILED_POLLS_MAX;) {
      const pauseMs = session.isOpen ? POLL_WITH_SOCKET_MS : POLL_WITHOUT_SOCKET_MS;
      await Promise.race([wake.promise, sleep(pauseMs, undefined, { signal: following.signal })]);
      wake = Promise.withResolvers();
      const video = await getVideo(following.api, following.submitted.id).catch(() => null);
      following.signal.throwIfAborted();
      if (video?.status === "completed" || video?.status === "failed") return video;
      failedPolls = video === null ? failedPolls + 1 : 0;
      if (video !== null) view = viewOf(video, view);
    }
    throw new Error("The API stopped answering.");
  } finally {
    clearInterval(timer);
    session.close();
  }
}

type View = Omit<VideoProgress, "elapsedSeconds" | "running">;

function withFrame(view: View, frame: SessionFrame, id: string): View {
  if (frame.type === "snapshot") {
    const standing = frame.videos.find((video) => video.id === id);
    return standing === undefined ? view : viewOf(standing, view);
  }
  if (!("data" in frame) || !("id" in frame.data) || frame.data.id !== id) return view;
  switch (frame.type) {
    case "video.progress":
      return {
        ...view,
        state: isWaiting(view.state) || view.state === "starting" ? "running" : view.state,
        progress: Math.max(view.progress, frame.data.progress),
      };
    case "video.queue_position":
      return {
        ...view,
        position: frame.data.position,
        startSeconds: frame.data.eta?.start_p50 ?? null,
        finishSeconds: frame.data.eta?.finish_p50 ?? null,
      };
    case "credits.low_balance":
    case "credits.grant_expiring":
    case "credits.refunded":
    case "credits.make_good":
    case "webhook_endpoint.disabled":
      return view;
    default:
      return { ...view, state: frame.data.state, progress: Math.max(view.progress, frame.data.progress) };
  }
}

function hasEnded({ state }: View): boolean {
  return state === "completed" || state === "failed" || state === "cancelled";
}

function viewOf(video: Video | VideoStanding, before: View | null): View {
  return {
    state: video.scheduler.state,
    progress: Math.max(video.progress, before?.progress ?? 0),
    position: video.scheduler.position,
    startSeconds: video.scheduler.eta?.start_p50 ?? null,
    finishSeconds: video.scheduler.eta?.finish_p50 ?? null,
  };
}
