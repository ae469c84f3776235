/**
 * What happens to a job after its attempt broke: try again, or fail with a fault that says who pays.
 *
 * A fault of ours (runner gone, GPU broken, engine crashed) never uses up the user's attempts; only a job that keeps
 * killing what runs it is given up, so that one poison prompt cannot take the fleet down.
 */
import type { RunError } from "#protocol/runner.ts";
import type { JobErrorCode } from "#protocol/video.ts";

/** Runner deaths under one job before it counts as poison. */
export const RUNNER_DEATHS_MAX = 3;
/** Resumes after engine failures (crash, hang, out of memory) before the job fails. */
export const ENGINE_RESUMES_MAX = 2;

/** Faults of ours may come again and again; each try waits twice as long, up to this. */
const BACKOFF_MS_MAX = 30_000;
const BACKOFF_MS_MIN = 500;
const BACKOFF_DOUBLINGS_MAX = 10;

interface Counters {
  readonly attempts: number;
  readonly runnerDeaths: number;
  readonly engineFailures: number;
}

export type Verdict =
  | { readonly kind: "retry"; readonly delayMs: number; readonly runnerDeaths: number; readonly engineFailures: number }
  | {
      readonly kind: "fail";
      readonly failure: {
        readonly code: JobErrorCode;
        readonly message: string;
        readonly fault: "user" | "platform";
      };
    };

export function afterLoss(job: Counters): Verdict {
  const runnerDeaths = job.runnerDeaths + 1;
  if (runnerDeaths >= RUNNER_DEATHS_MAX) {
    return fail("runner_crashed", `The video was given up: ${runnerDeaths} runners were lost while it ran.`);
  }
  // The first retry goes at once: a lost host is no sign against the job.
  return { kind: "retry", delayMs: (runnerDeaths - 1) * 1_000, runnerDeaths, engineFailures: job.engineFailures };
}

export function afterRunError(error: RunError, job: Counters): Verdict {
  switch (error.class) {
    case "user":
      return {
        kind: "fail",
        failure: {
          code: error.code === "invalid_input_reference" ? "invalid_input_reference" : "engine_failed",
          message: error.detail === "" ? "The engine refused this request." : error.detail,
          fault: "user",
        },
      };
    case "capacity":
    case "engine_fatal":
      return afterEngineFailure(error, job);
    case "retryable":
    case "gpu_fatal":
    case "host_fatal":
      return {
        kind: "retry",
        delayMs: backoffMs(job.attempts),
        runnerDeaths: job.runnerDeaths,
        engineFailures: job.engineFailures,
      };
    default:
      return error.class satisfies never;
  }
}

function afterEngineFailure(error: RunError, job: Counters): Verdict {
  const engineFailures = job.engineFailures + 1;
  if (engineFailures > ENGINE_RESUMES_MAX) {
    return error.class === "capacity"
      ? fail("runner_out_of_memory", "The video does not fit into the memory of any runner.")
      : fail("engine_failed", `The engine failed ${engineFailures} times on this video (${error.code}).`);
  }
  return { kind: "retry", delayMs: (engineFailures - 1) * 1_000, runnerDeaths: job.runnerDeaths, engineFailures };
}

/** The first retry goes at once: most faults are over by then. */
function backoffMs(attempts: number): number {
  if (attempts <= 1) return 0;
  return Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(attempts - 2, BACKOFF_DOUBLINGS_MAX));
}

function fail(code: JobErrorCode, message: string): Verdict {
  return { kind: "fail", failure: { code, message, fault: "platform" } };
}
