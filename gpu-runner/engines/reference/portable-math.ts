/**
 * Math whose results are the same bits on every build: only + - * / and integer operations, which IEEE 754 and
 * ECMAScript fix. `Math.exp` and `Math.sin` may differ between engines, so latents would differ between hosts.
 */

const LN2_HIGH = 0.69314718036912381649;
const LN2_LOW = 1.90821492927058770002e-10;
const TWO_PI = 6.283185307179586;
const EXP_FLOOR = -87;

/** e^x for x in [-87, 0]; below that 0, above 0 not needed here. Error under 1e-7, enough for weights. */
export function expNegative(x: number): number {
  if (x < EXP_FLOOR) return 0;
  const halvings = Math.floor(x / (LN2_HIGH + LN2_LOW) + 0.5);
  const r = x - halvings * LN2_HIGH - halvings * LN2_LOW;
  const series = 1 + r * (1 + r * (0.5 + r * (1 / 6 + r * (1 / 24 + r * (1 / 120 + r * (1 / 720 + r / 5040))))));
  return series * powerOfTwo(halvings);
}

/** sin over any moderate angle in radians, by range reduction and a polynomial; error under 1e-6. */
export function wave(angle: number): number {
  const turns = angle / TWO_PI;
  let x = (turns - Math.floor(turns + 0.5)) * TWO_PI;
  if (x > TWO_PI / 4) x = TWO_PI / 2 - x;
  else if (x < -TWO_PI / 4) x = -TWO_PI / 2 - x;
  const s = x * x;
  return x * (1 - (s / 6) * (1 - (s / 20) * (1 - (s / 42) * (1 - (s / 72) * (1 - s / 110)))));
}

export function clamp(x: number, low: number, high: number): number {
  return x < low ? low : x > high ? high : x;
}

/** 0 below `low`, 1 above `high`, smooth between. */
export function smoothstep(low: number, high: number, x: number): number {
  const t = clamp((x - low) / (high - low), 0, 1);
  return t * t * (3 - 2 * t);
}

export function mix(a: number, b: number, t: number): number {
  return a + (b - a) * t;
}

function powerOfTwo(exponent: number): number {
  let power = 1;
  for (let i = exponent; i < 0; i++) power *= 0.5;
  return power;
}
