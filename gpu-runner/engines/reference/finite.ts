/** A sampler that went wrong makes NaN or Infinity, and every later step spreads it: no such picture may be kept or shown. */
export class NotFiniteError extends Error {
  override readonly name = "NotFiniteError";
}

/** A subtraction a value: anything less itself is zero, but for NaN and Infinity, which make the sum NaN. */
export function assertFinite(values: Float32Array, step: number): void {
  let sum = 0;
  for (const value of values) sum += value - value;
  if (sum !== 0) throw new NotFiniteError(`the latents after step ${step} are not all finite`);
}
