/**
 * Fault knobs for development and tests: leading words of the prompt that start with `!`. The rest is the prompt.
 *
 * `!crash` dies in the middle of every attempt, `!crash-once@5` before step 5 of the first, `!hang@5` stops answering, `!slow=3` does
 * three times the work, `!idle=50` waits 50 ms a step and burns nothing, `!oom` runs out of memory in the middle of the
 * denoising, `!oom-decode` when the latents are decoded in one piece, `!nan@5` spoils the latents in step 5.
 */

export interface Knobs {
  readonly prompt: string;
  readonly crashAt: number | "middle" | null;
  readonly crashOnceAt: number | null;
  readonly hangAt: number | null;
  readonly slow: number;
  readonly idleMs: number;
  readonly oom: boolean;
  readonly oomDecode: boolean;
  readonly nanAt: number | null;
}

const SLOW_MAX = 100;
const IDLE_MS_MAX = 60_000;
const KNOB = /^!(crash-once|crash|hang|slow|idle|oom-decode|oom|nan)(?:[@=](\d{1,6}))?(?:\s+|$)/;

export function readKnobs(text: string, allowed: boolean): Knobs {
  let knobs: Knobs = {
    prompt: text,
    crashAt: null,
    crashOnceAt: null,
    hangAt: null,
    slow: 1,
    idleMs: 0,
    oom: false,
    oomDecode: false,
    nanAt: null,
  };
  if (!allowed) return knobs;
  let rest = text.trimStart();
  for (let match = KNOB.exec(rest); match !== null; match = KNOB.exec(rest)) {
    rest = rest.slice(match[0].length);
    knobs = turn(knobs, match[1] ?? "", match[2] === undefined ? null : Number(match[2]));
  }
  return { ...knobs, prompt: rest };
}

function turn(knobs: Knobs, name: string, value: number | null): Knobs {
  switch (name) {
    case "crash":
      return { ...knobs, crashAt: value ?? "middle" };
    case "crash-once":
      return { ...knobs, crashOnceAt: value ?? 1 };
    case "hang":
      return { ...knobs, hangAt: value ?? 1 };
    case "slow":
      return { ...knobs, slow: Math.min(SLOW_MAX, Math.max(1, value ?? 2)) };
    case "idle":
      return { ...knobs, idleMs: Math.min(IDLE_MS_MAX, value ?? 50) };
    case "nan":
      return { ...knobs, nanAt: value ?? 1 };
    case "oom-decode":
      return { ...knobs, oomDecode: true };
    default:
      return { ...knobs, oom: true };
  }
}
