/** One line of text that says how a video is doing. Pure: what is known and how wide, in; text out. */
import type { SchedulerState } from "#protocol/video.ts";

export interface VideoProgress {
  readonly state: SchedulerState;
  readonly progress: number;
  /** Jobs ahead; null when it does not wait or nobody knows. */
  readonly position: number | null;
  /** Seconds until it starts and until it is done, as the scheduler estimates. */
  readonly startSeconds: number | null;
  readonly finishSeconds: number | null;
  /** Since it was submitted. */
  readonly elapsedSeconds: number;
  /** Since its first step arrived, and the progress it had then; null before. */
  readonly running: { readonly seconds: number; readonly from: number } | null;
}

const BAR_COLUMNS = 24;
/** Below this much progress an extrapolation says nothing. */
const EXTRAPOLATE_FROM = 4;

const WORDS = {
  queued: "queued",
  throttled: "waiting for your other videos",
  starting: "starting",
  running: "rendering",
  uploading: "uploading",
  moderating: "being checked",
  preempted: "paused for another job",
  retrying: "waiting to go on",
  cancelling: "stopping",
  completed: "done",
  failed: "failed",
  cancelled: "cancelled",
} as const satisfies Record<SchedulerState, string>;

export function progressLine(video: VideoProgress, columns: number): string {
  const filled = Math.round((BAR_COLUMNS * video.progress) / 100);
  const bar = `[${"#".repeat(filled)}${".".repeat(BAR_COLUMNS - filled)}]`;
  const parts = [
    `${bar} ${String(video.progress).padStart(3)} %`,
    WORDS[video.state],
    ...waiting(video),
    ...eta(video),
    `${duration(video.elapsedSeconds)} so far`,
  ];
  return parts.join(" · ").slice(0, Math.max(20, columns - 1));
}

function waiting(video: VideoProgress): readonly string[] {
  if (video.position === null || !isWaiting(video.state)) return [];
  const ahead = video.position === 0 ? "next in line" : `${video.position} ahead`;
  return video.startSeconds === null ? [ahead] : [ahead, `starts in about ${duration(video.startSeconds)}`];
}

/** The measured pace beats the estimate as soon as there is one. */
function eta(video: VideoProgress): readonly string[] {
  if (video.state === "completed" || video.state === "failed" || video.state === "cancelled") return [];
  const done = video.running === null ? 0 : video.progress - video.running.from;
  if (video.running !== null && done >= EXTRAPOLATE_FROM) {
    return [`about ${duration((video.running.seconds * (100 - video.progress)) / done)} left`];
  }
  return video.finishSeconds === null ? [] : [`about ${duration(video.finishSeconds)} left`];
}

export function isWaiting(state: SchedulerState): boolean {
  return state === "queued" || state === "throttled" || state === "preempted" || state === "retrying";
}

/** `75` → `1 min 15 s`. */
export function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min ${whole % 60} s`;
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}
