/**
 * Reads a prompt: known words choose sky, terrain, weather and subject; a hash of the whole prompt chooses what the
 * words leave open, so every prompt has its own picture. No language understanding is claimed.
 */
import {
  COLOURS,
  FALL_WORDS,
  type Fall,
  type Rgb,
  SKIES,
  SKY_WORDS,
  type Sky,
  SUBJECT_WORDS,
  type Subject,
  TERRAINS,
  TERRAIN_WORDS,
  type Terrain,
} from "./lexicon.ts";
import { hashText, mixKeys, uniform } from "./noise.ts";

export interface Scene {
  readonly key: number;
  readonly sky: Sky;
  readonly terrain: Terrain;
  readonly fall: Fall;
  readonly subject: Subject;
  /** -1..1: how fast the world drifts, and which way. */
  readonly drift: number;
}

const OPEN_SKIES = ["day", "sunset", "dawn", "night", "overcast"] as const;
const OPEN_TERRAINS = ["meadow", "sea", "mountain", "desert", "forest"] as const;
const QUICK = new Set(["run", "running", "fast", "racing", "flying", "rushing", "driving"]);
const SLOW = new Set(["slow", "calm", "still", "quiet", "sleeping", "gentle"]);

/** Words of `negativePrompt` steer nothing, even if the prompt has them too. */
export function readScene(prompt: string, negativePrompt: string): Scene {
  const banned = new Set(tokens(negativePrompt));
  const heard = tokens(prompt).filter((word) => !banned.has(word));
  const key = mixKeys(hashText(prompt.trim().toLowerCase()), hashText(negativePrompt));
  const terrainName = first(heard, TERRAIN_WORDS);
  const skyName = first(heard, SKY_WORDS);
  const open = (index: number): number => uniform(key, index);
  const sky = SKIES[skyName ?? pick(OPEN_SKIES, open(1))];
  const terrain = TERRAINS[terrainName ?? (skyName === "space" ? "space" : pick(OPEN_TERRAINS, open(2)))];
  const pace = heard.some((word) => QUICK.has(word)) ? 1 : heard.some((word) => SLOW.has(word)) ? 0.25 : 0.55;
  return {
    key,
    sky: jitterSky(sky, key),
    terrain,
    fall: first(heard, FALL_WORDS) ?? "none",
    subject: readSubject(heard, key, terrainName !== undefined),
    drift: (open(3) < 0.5 ? -1 : 1) * pace,
  };
}

function tokens(text: string): string[] {
  return (text.toLowerCase().match(/[a-z]+/g) ?? []).map(singular);
}

function singular(word: string): string {
  const stem = word.slice(0, -1);
  const known = stem in SUBJECT_WORDS || stem in TERRAIN_WORDS || stem in SKY_WORDS || stem in FALL_WORDS;
  return word.endsWith("s") && known ? stem : word;
}

function first<T>(heard: readonly string[], table: Readonly<Record<string, T>>): T | undefined {
  const word = heard.find((candidate) => Object.hasOwn(table, candidate));
  return word === undefined ? undefined : table[word];
}

/**
 * A colour word just before the subject paints it. Without a known subject a landscape stands alone, and a prompt of
 * unknown words gets drifting orbs in colours of its own.
 */
function readSubject(heard: readonly string[], key: number, landscape: boolean): Subject {
  const at = heard.findIndex((word) => Object.hasOwn(SUBJECT_WORDS, word));
  const before = heard.slice(Math.max(0, at - 3), Math.max(0, at));
  const colour = first(at < 0 ? heard : before.toReversed(), COLOURS);
  const name = heard[at];
  const known = name === undefined ? undefined : SUBJECT_WORDS[name];
  if (known === undefined && landscape && colour === undefined) return { ...orbs(key), shape: "nothing" };
  if (known === undefined) return { ...orbs(key), ...(colour === undefined ? {} : { body: colour }) };
  if (colour === undefined) return known;
  // A "red fox" is fox-red: the adjective pulls the animal's own colour, it does not replace it.
  return { ...known, body: blend(known.body, colour, known.shape === "quadruped" ? 0.5 : 0.85) };
}

function orbs(key: number): Subject {
  const hue = (index: number): Rgb => [
    0.25 + 0.7 * uniform(key, index),
    0.2 + 0.65 * uniform(key, index + 1),
    0.25 + 0.7 * uniform(key, index + 2),
  ];
  return { shape: "orbs", body: hue(20), pale: hue(30), dark: hue(40), scale: 1 };
}

function jitterSky(sky: Sky, key: number): Sky {
  const shift = (colour: Rgb, index: number): Rgb => [
    colour[0] * (0.92 + 0.16 * uniform(key, index)),
    colour[1] * (0.92 + 0.16 * uniform(key, index + 1)),
    colour[2] * (0.92 + 0.16 * uniform(key, index + 2)),
  ];
  return { ...sky, top: shift(sky.top, 50), horizon: shift(sky.horizon, 60) };
}

function blend(a: Rgb, b: Rgb, t: number): Rgb {
  return [a[0] + (b[0] - a[0]) * t, a[1] + (b[1] - a[1]) * t, a[2] + (b[2] - a[2]) * t];
}

function pick<T>(options: readonly [T, ...T[]], at: number): T {
  return options[Math.min(options.length - 1, Math.floor(at * options.length))] ?? options[0];
}
