/**
 * What happens to a job after its attempt broke: try again, or fail with a fault that says who pays.
 *
 * `RULES` is the taxonomy: by class of fault, whether the try counts against the job. A fault of ours (runner gone, GPU broken)
 * never does; only a job that keeps killing what runs it is given up, so that one poison prompt cannot take the fleet down.
 * Tries that wait do so with full jitter, over a window that doubles, and at least over what the retry budget asks for.
 */
import { invariant } from "#protocol/invariant.ts";
import type { RunError } from "#protocol/runner.ts";
import type { JobErrorCode } from "#protocol/video.ts";
import { chanceOf, spreadMs } from "./retry-budget.ts";
import type { RetryLoad } from "./retry-budget.ts";

/** Runner deaths under one job before it counts as poison. */
export const RUNNER_DEATHS_MAX = 3;
/** Resumes after engine failures (crash, hang, out of memory) before the job fails. */
export const ENGINE_RESUMES_MAX = 2;

const BACKOFF_MS_MAX = 30_000;
const BACKOFF_MS_MIN = 500;
const BACKOFF_DOUBLINGS_MAX = 10;

/** `fail`: at once, the request itself is bad. `counted`: a few resumes, then it fails. `uncounted`: as often as it takes. */
type Rule = "fail" | "counted" | "uncounted";

const RULES = {
  user: "fail",
  capacity: "counted",
  engine_fatal: "counted",
  retryable: "uncounted",
  gpu_fatal: "uncounted",
  host_fatal: "uncounted",
} as const satisfies Record<RunError["class"], Rule>;

interface Tried {
  readonly id: string;
  readonly attempts: number;
  readonly runnerDeaths: number;
  readonly engineFailures: number;
  readonly runAlone: boolean;
}

export type Verdict =
  | {
      readonly kind: "retry";
      readonly delayMs: number;
      readonly runnerDeaths: number;
      readonly engineFailures: number;
      /** It was one of several that may have killed their runner: next time it runs alone. */
      readonly runAlone: boolean;
    }
  | {
      readonly kind: "fail";
      readonly failure: {
        readonly code: JobErrorCode;
        readonly message: string;
        readonly fault: "user" | "platform";
      };
    };

/** The machine is broken, whatever it is given: two such faults with different jobs and it is rested. */
export function blamesRunner({ class: of }: RunError): boolean {
  return of === "gpu_fatal" || of === "host_fatal";
}

/** The runner is gone, with this many jobs aboard. */
export function afterLoss(job: Tried, aboard: number, load: RetryLoad): Verdict {
  if (aboard > 1) return { ...again(job, 1, load), runAlone: true };
  const runnerDeaths = job.runnerDeaths + 1;
  if (runnerDeaths >= RUNNER_DEATHS_MAX) {
    return fail("runner_crashed", `The video was given up: ${runnerDeaths} runners were lost while it ran.`);
  }
  return { ...again(job, runnerDeaths, load), runnerDeaths };
}

export function afterRunError(error: RunError, job: Tried, load: RetryLoad): Verdict {
  const rule: Rule = RULES[error.class];
  switch (rule) {
    case "fail":
      return {
        kind: "fail",
        failure: {
          code: error.code === "invalid_input_reference" ? "invalid_input_reference" : "engine_failed",
          message: error.detail === "" ? "The engine refused this request." : error.detail,
          fault: "user",
        },
      };
    case "counted": {
      const engineFailures = job.engineFailures + 1;
      if (engineFailures > ENGINE_RESUMES_MAX) return gaveUp(error, engineFailures);
      return { ...again(job, engineFailures, load), engineFailures };
    }
    case "uncounted":
      return again(job, job.attempts, load);
    default:
      return rule satisfies never;
  }
}

function gaveUp(error: RunError, engineFailures: number): Verdict {
  return error.class === "capacity"
    ? fail("runner_out_of_memory", "The video does not fit into the memory of any runner.")
    : fail("engine_failed", `The engine failed ${engineFailures} times on this video (${error.code}).`);
}

/** `nth` break of this kind. The first one goes at once, unless many break now: most faults are over by then. */
function again(job: Tried, nth: number, load: RetryLoad): Extract<Verdict, { kind: "retry" }> {
  invariant(nth >= 1, "a retry follows a try");
  const backoffMs =
    nth === 1 ? 0 : Math.min(BACKOFF_MS_MAX, BACKOFF_MS_MIN * 2 ** Math.min(nth - 2, BACKOFF_DOUBLINGS_MAX));
  const delayMs = Math.floor(chanceOf(job.id, job.attempts) * Math.max(backoffMs, spreadMs(load)));
  return {
    kind: "retry",
    delayMs,
    runnerDeaths: job.runnerDeaths,
    engineFailures: job.engineFailures,
    runAlone: job.runAlone,
  };
}

function fail(code: JobErrorCode, message: string): Verdict {
  return { kind: "fail", failure: { code, message, fault: "platform" } };
}
