/**
 * The words the reference renderer knows, as data. A scene is a sky (time of day), a terrain, what falls through the
 * air, and a subject with its colours. Colours are sRGB 0..1.
 */

export type Rgb = readonly [number, number, number];

export interface Sky {
  readonly top: Rgb;
  readonly horizon: Rgb;
  readonly cloud: Rgb;
  readonly cloudiness: number;
  readonly light: Rgb;
  readonly stars: number;
  /** Multiplies the terrain: dusk and night dim and tint it. */
  readonly tint: Rgb;
}

export type TerrainKind = "plain" | "sea" | "forest" | "city" | "mountain" | "space" | "deep";

export interface Terrain {
  readonly kind: TerrainKind;
  readonly far: Rgb;
  readonly near: Rgb;
  readonly ridge: Rgb;
  readonly roughness: number;
}

export type Fall = "none" | "snow" | "rain" | "petals" | "embers" | "bubbles";

export type Shape =
  | "quadruped"
  | "bird"
  | "fish"
  | "person"
  | "boat"
  | "vehicle"
  | "balloon"
  | "house"
  | "flower"
  | "orbs"
  | "nothing";

export interface Subject {
  readonly shape: Shape;
  readonly body: Rgb;
  readonly pale: Rgb;
  readonly dark: Rgb;
  readonly scale: number;
}

export const SKIES = {
  day: sky([0.27, 0.52, 0.86], [0.78, 0.88, 0.95], [1, 1, 1], 0.55, [1, 0.96, 0.82], 0, [1, 1, 1]),
  overcast: sky([0.62, 0.69, 0.77], [0.86, 0.89, 0.92], [0.97, 0.98, 1], 0.7, [1, 1, 0.96], 0, [0.98, 0.99, 1.02]),
  sunset: sky([0.25, 0.17, 0.42], [0.99, 0.55, 0.25], [0.98, 0.42, 0.38], 0.65, [1, 0.86, 0.5], 0, [0.95, 0.68, 0.6]),
  dawn: sky([0.45, 0.55, 0.82], [0.99, 0.78, 0.68], [1, 0.8, 0.8], 0.5, [1, 0.92, 0.75], 0, [1, 0.9, 0.88]),
  night: sky([0.02, 0.03, 0.12], [0.1, 0.16, 0.34], [0.16, 0.2, 0.38], 0.35, [0.93, 0.95, 1], 1, [0.36, 0.42, 0.66]),
  storm: sky([0.16, 0.19, 0.25], [0.42, 0.46, 0.5], [0.25, 0.28, 0.33], 0.9, [0.8, 0.85, 0.9], 0, [0.62, 0.66, 0.72]),
  deep: sky([0.16, 0.6, 0.72], [0.03, 0.3, 0.46], [0.3, 0.78, 0.85], 0.4, [0.8, 1, 0.95], 0, [0.75, 0.95, 1.05]),
  space: sky([0.02, 0.01, 0.06], [0.1, 0.04, 0.2], [0.45, 0.2, 0.62], 0.6, [1, 0.85, 0.6], 1.6, [0.8, 0.75, 0.95]),
} as const;

export const TERRAINS = {
  snow: terrain("plain", [0.86, 0.91, 0.97], [0.97, 0.98, 1], [0.66, 0.75, 0.86], 0.14),
  meadow: terrain("plain", [0.56, 0.72, 0.36], [0.28, 0.52, 0.2], [0.36, 0.52, 0.46], 0.4),
  desert: terrain("plain", [0.93, 0.78, 0.52], [0.82, 0.56, 0.3], [0.78, 0.55, 0.4], 0.25),
  sea: terrain("sea", [0.3, 0.58, 0.74], [0.04, 0.24, 0.42], [0.32, 0.45, 0.58], 0.5),
  forest: terrain("forest", [0.24, 0.42, 0.22], [0.12, 0.25, 0.1], [0.1, 0.26, 0.16], 0.5),
  city: terrain("city", [0.3, 0.3, 0.36], [0.17, 0.17, 0.21], [0.2, 0.22, 0.3], 0.3),
  mountain: terrain("mountain", [0.45, 0.55, 0.42], [0.26, 0.38, 0.24], [0.42, 0.46, 0.58], 0.4),
  space: terrain("space", [0.2, 0.1, 0.3], [0.1, 0.05, 0.2], [0.3, 0.2, 0.4], 0.3),
  deep: terrain("deep", [0.05, 0.36, 0.5], [0.02, 0.14, 0.28], [0.1, 0.3, 0.35], 0.5),
} as const;

export const COLOURS: Readonly<Record<string, Rgb>> = {
  red: [0.8, 0.16, 0.1],
  orange: [0.92, 0.48, 0.12],
  yellow: [0.95, 0.82, 0.2],
  golden: [0.9, 0.68, 0.22],
  gold: [0.9, 0.68, 0.22],
  green: [0.2, 0.6, 0.25],
  blue: [0.16, 0.36, 0.8],
  purple: [0.5, 0.22, 0.68],
  violet: [0.5, 0.22, 0.68],
  pink: [0.95, 0.5, 0.66],
  white: [0.94, 0.94, 0.95],
  black: [0.1, 0.1, 0.12],
  grey: [0.5, 0.52, 0.55],
  gray: [0.5, 0.52, 0.55],
  silver: [0.72, 0.75, 0.8],
  brown: [0.45, 0.28, 0.15],
  turquoise: [0.15, 0.7, 0.7],
  crimson: [0.75, 0.06, 0.14],
};

export const SKY_WORDS: Readonly<Record<string, keyof typeof SKIES>> = words({
  deep: "underwater reef coral seabed jellyfish submarine",
  sunset: "sunset dusk evening twilight autumn fire lava",
  dawn: "dawn sunrise morning spring cherry pastel",
  night: "night midnight dark moon moonlit moonlight star starry neon aurora lantern",
  storm: "storm thunder lightning rain rainy tornado dramatic",
  overcast: "fog mist cloudy cloud winter snow snowy blizzard",
  space: "space galaxy nebula planet cosmos orbit astronaut rocket",
  day: "day sunny summer noon",
});

export const TERRAIN_WORDS: Readonly<Record<string, keyof typeof TERRAINS>> = words({
  snow: "snow snowy winter ice arctic glacier blizzard frozen",
  sea: "sea ocean beach wave lake river water coast harbor harbour island surf boat ship",
  forest: "forest jungle wood woods tree pine rainforest bamboo",
  city: "city street town skyline neon tokyo building skyscraper downtown traffic cyberpunk",
  mountain: "mountain hill alps valley canyon volcano cliff",
  desert: "desert sand dune sahara savanna mars",
  meadow: "meadow field grass garden flower park farm village",
  space: "space galaxy nebula planet cosmos orbit",
  deep: "underwater reef coral seabed whale shark jellyfish submarine",
});

export const FALL_WORDS: Readonly<Record<string, Fall>> = words({
  snow: "snow snowy blizzard winter",
  rain: "rain rainy storm",
  petals: "cherry blossom petal autumn leaf leaves",
  embers: "fire ember lava volcano spark lantern",
  bubbles: "underwater reef bubble jellyfish",
});

const FOX: Rgb = [0.82, 0.34, 0.1];
const CREAM: Rgb = [0.97, 0.92, 0.86];
const INK: Rgb = [0.13, 0.1, 0.1];

export const SUBJECT_WORDS: Readonly<Record<string, Subject>> = {
  ...kinds("fox", "quadruped", FOX, CREAM, INK),
  ...kinds("dog puppy horse deer cow bear", "quadruped", [0.5, 0.33, 0.19], [0.8, 0.68, 0.52], [0.2, 0.13, 0.08]),
  ...kinds("wolf cat kitten rabbit elephant", "quadruped", [0.45, 0.45, 0.48], [0.85, 0.85, 0.86], [0.16, 0.16, 0.18]),
  ...kinds("lion tiger camel", "quadruped", [0.85, 0.6, 0.25], CREAM, [0.4, 0.22, 0.1], 1.15),
  ...kinds("bird eagle crow owl gull dragon butterfly parrot", "bird", [0.24, 0.24, 0.3], [0.9, 0.85, 0.75], INK, 0.8),
  ...kinds("fish goldfish koi", "fish", [0.95, 0.5, 0.15], [1, 0.9, 0.75], [0.5, 0.16, 0.06], 0.8),
  ...kinds("whale shark dolphin submarine", "fish", [0.28, 0.38, 0.5], [0.8, 0.86, 0.9], [0.1, 0.15, 0.22], 1.3),
  ...kinds("man woman person girl boy child dancer knight people", "person", [0.7, 0.2, 0.2], [0.93, 0.76, 0.62], INK),
  ...kinds("astronaut robot", "person", [0.85, 0.87, 0.9], [0.35, 0.6, 0.8], [0.25, 0.27, 0.3]),
  ...kinds("boat ship sailboat", "boat", [0.55, 0.25, 0.15], [0.97, 0.95, 0.9], [0.2, 0.1, 0.08]),
  ...kinds("car bus truck train taxi", "vehicle", [0.85, 0.2, 0.16], [0.75, 0.88, 0.95], [0.1, 0.1, 0.12]),
  ...kinds("balloon rocket zeppelin", "balloon", [0.9, 0.25, 0.2], [0.98, 0.85, 0.4], [0.35, 0.2, 0.12]),
  ...kinds(
    "house cabin lighthouse castle tower temple hut",
    "house",
    [0.62, 0.4, 0.3],
    [1, 0.86, 0.5],
    [0.35, 0.16, 0.13],
  ),
  ...kinds("flower rose tulip sunflower blossom", "flower", [0.92, 0.3, 0.42], [0.98, 0.85, 0.3], [0.16, 0.4, 0.16]),
};

function sky(top: Rgb, horizon: Rgb, cloud: Rgb, cloudiness: number, light: Rgb, stars: number, tint: Rgb): Sky {
  return { top, horizon, cloud, cloudiness, light, stars, tint };
}

function terrain(kind: TerrainKind, far: Rgb, near: Rgb, ridge: Rgb, roughness: number): Terrain {
  return { kind, far, near, ridge, roughness };
}

function words<T extends string>(lists: Readonly<Partial<Record<T, string>>>): Record<string, T> {
  const table: Record<string, T> = {};
  for (const key of Object.keys(lists) as T[]) {
    for (const word of (lists[key] ?? "").split(" ")) table[word] = key;
  }
  return table;
}

function kinds(list: string, shape: Shape, body: Rgb, pale: Rgb, dark: Rgb, scale = 1): Record<string, Subject> {
  return Object.fromEntries(list.split(" ").map((word) => [word, { shape, body, pale, dark, scale }]));
}
