/**
 * What an engine has made of a job after so many steps, as a value: equal work gives equal values, and a checkpoint of another
 * job, or lost or doubled steps, give another one.
 */
import { Sha256Hex } from "#protocol/id.ts";

export interface Rendering {
  readonly seed: number;
  readonly step: number;
  readonly value: number;
}

export function begun(seed: number): Rendering {
  return { seed, step: 0, value: Math.imul(seed ^ 0x5bd1e995, 0x9e3779b1) };
}

export function stepped({ seed, step, value }: Rendering): Rendering {
  return { seed, step: step + 1, value: Math.imul(value ^ (value >>> 15) ^ (step + 1), 0x85ebca6b) };
}

export function hashOf({ seed, step, value }: Rendering): Sha256Hex {
  const part = (number: number) => (number >>> 0).toString(16).padStart(8, "0");
  return Sha256Hex.parse(part(value).repeat(4) + part(seed).repeat(2) + part(step).repeat(2));
}

export function finished(seed: number, steps: number): Rendering {
  let rendering = begun(seed);
  while (rendering.step < steps) rendering = stepped(rendering);
  return rendering;
}
