/**
 * What subjects look like: soft ellipses in a box from -1 to 1, facing right, feet at y = 0.75. `swing` names the phase
 * (in turns) at which a part moves with the gait; parts are painted in order.
 */
import type { Shape } from "./lexicon.ts";

export interface Part {
  readonly x: number;
  readonly y: number;
  readonly rx: number;
  readonly ry: number;
  readonly tone: "body" | "pale" | "dark" | "shade";
  readonly swing?: number;
}

function part(x: number, y: number, rx: number, ry: number, tone: Part["tone"], swing?: number): Part {
  return { x, y, rx, ry, tone, ...(swing === undefined ? {} : { swing }) };
}

export const SILHOUETTES = {
  quadruped: [
    part(-0.36, 0.48, 0.075, 0.28, "shade", 0.5),
    part(0.4, 0.48, 0.075, 0.28, "shade", 0),
    part(-0.78, 0.02, 0.34, 0.15, "body", 0.25),
    part(-1.06, -0.06, 0.14, 0.11, "pale", 0.25),
    part(0, 0.06, 0.56, 0.26, "body"),
    part(0.1, 0.22, 0.4, 0.09, "pale"),
    part(-0.46, 0.5, 0.08, 0.27, "dark", 0),
    part(0.32, 0.5, 0.08, 0.27, "dark", 0.5),
    part(0.48, -0.1, 0.22, 0.26, "body"),
    part(0.46, 0.08, 0.14, 0.14, "pale"),
    part(0.5, -0.58, 0.075, 0.17, "body"),
    part(0.76, -0.58, 0.07, 0.16, "body"),
    part(0.66, -0.3, 0.25, 0.2, "body"),
    part(0.84, -0.2, 0.18, 0.09, "pale"),
    part(1, -0.22, 0.05, 0.045, "dark"),
    part(0.72, -0.34, 0.04, 0.045, "dark"),
  ],
  bird: [
    part(-0.1, -0.34, 0.2, 0.42, "shade", 0.5),
    part(0, 0, 0.5, 0.2, "body"),
    part(-0.62, 0.04, 0.26, 0.09, "dark"),
    part(0.5, -0.12, 0.2, 0.17, "body"),
    part(0.74, -0.08, 0.13, 0.05, "pale"),
    part(0.05, 0.08, 0.34, 0.1, "pale"),
    part(0.02, -0.3, 0.22, 0.46, "body", 0),
  ],
  fish: [
    part(-0.82, -0.14, 0.2, 0.2, "dark", 0),
    part(-0.82, 0.14, 0.2, 0.2, "dark", 0),
    part(0, 0, 0.75, 0.3, "body"),
    part(0.1, 0.14, 0.55, 0.13, "pale"),
    part(-0.05, -0.3, 0.2, 0.14, "dark"),
    part(0.1, 0.16, 0.18, 0.1, "shade", 0.25),
    part(0.5, -0.08, 0.05, 0.06, "dark"),
  ],
  person: [
    part(-0.12, 0.46, 0.1, 0.36, "dark", 0),
    part(0.12, 0.46, 0.1, 0.36, "dark", 0.5),
    part(-0.28, -0.06, 0.08, 0.32, "shade", 0.5),
    part(0, -0.06, 0.25, 0.38, "body"),
    part(0.28, -0.06, 0.08, 0.32, "body", 0),
    part(0, -0.62, 0.17, 0.2, "pale"),
    part(-0.02, -0.73, 0.18, 0.12, "dark"),
  ],
  boat: [
    part(0.2, -0.3, 0.32, 0.5, "pale"),
    part(-0.24, -0.24, 0.2, 0.4, "pale"),
    part(0, -0.2, 0.03, 0.75, "dark"),
    part(0, 0.5, 0.78, 0.2, "body"),
    part(0, 0.42, 0.82, 0.07, "dark"),
  ],
  vehicle: [
    part(-0.05, 0.05, 0.5, 0.3, "body"),
    part(0.05, -0.02, 0.36, 0.18, "pale"),
    part(0, 0.34, 0.92, 0.24, "body"),
    part(-0.5, 0.58, 0.19, 0.19, "dark"),
    part(0.52, 0.58, 0.19, 0.19, "dark"),
    part(0.86, 0.32, 0.07, 0.06, "pale"),
  ],
  balloon: [
    part(0, 0.62, 0.14, 0.13, "dark"),
    part(0, 0.36, 0.2, 0.3, "shade"),
    part(0, -0.2, 0.58, 0.6, "body"),
    part(0, -0.2, 0.2, 0.6, "pale"),
    part(0.42, -0.2, 0.14, 0.5, "shade"),
    part(-0.42, -0.2, 0.14, 0.5, "pale"),
  ],
  house: [
    part(0, 0.3, 0.55, 0.5, "body"),
    part(0, -0.16, 0.68, 0.2, "dark"),
    part(0, -0.38, 0.4, 0.2, "dark"),
    part(0.36, -0.5, 0.08, 0.22, "shade"),
    part(-0.26, 0.24, 0.12, 0.13, "pale"),
    part(0.26, 0.24, 0.12, 0.13, "pale"),
    part(0, 0.58, 0.1, 0.22, "dark"),
  ],
  flower: [
    part(0, 0.5, 0.05, 0.5, "dark"),
    part(0.18, 0.5, 0.2, 0.08, "dark"),
    part(-0.32, -0.2, 0.26, 0.2, "body", 0),
    part(0.32, -0.2, 0.26, 0.2, "body", 0.5),
    part(0, -0.48, 0.22, 0.26, "body", 0.25),
    part(0, 0.06, 0.22, 0.26, "shade", 0.75),
    part(0, -0.2, 0.17, 0.17, "pale"),
  ],
  orbs: [
    part(-0.62, 0.1, 0.36, 0.36, "dark", 0),
    part(0.5, -0.36, 0.3, 0.3, "pale", 0.3),
    part(0.1, 0.2, 0.46, 0.46, "body", 0.6),
    part(-0.06, 0.04, 0.16, 0.16, "pale", 0.6),
    part(0.72, 0.36, 0.18, 0.18, "body", 0.8),
  ],
  nothing: [],
} as const satisfies Record<Shape, readonly Part[]>;

/** Shapes that hang in the air or water; the others stand on the ground. */
export const FLOATING: ReadonlySet<Shape> = new Set<Shape>(["bird", "fish", "balloon", "orbs", "nothing"]);
