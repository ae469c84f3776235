/** Reads the user's still image and shrinks it to one latent frame (cover fit), from which every clip then starts. */
import { readFile } from "node:fs/promises";
import { ImageDecoder } from "@napi-rs/webcodecs";
import type { Grid } from "./clip.ts";
import { CHANNELS, toLatent } from "./colour.ts";

const PIXELS_MAX = 64_000_000;

/** The image is the user's: anything wrong with it is theirs, and the job fails for good. */
export class ReferenceImageError extends Error {
  override readonly name = "ReferenceImageError";
}

export async function readReference(path: string, mediaType: string, grid: Grid): Promise<Float32Array> {
  try {
    const decoder = new ImageDecoder({ data: await readFile(path), type: mediaType });
    const { image } = await decoder.decode();
    const { codedWidth: width, codedHeight: height } = image;
    if (width * height > PIXELS_MAX) throw new ReferenceImageError("the image is too large");
    const rgba = new Uint8Array(width * height * 4);
    await image.copyTo(rgba, { format: "RGBA" });
    image.close();
    decoder.close();
    return shrink(rgba, width, height, grid);
  } catch (cause) {
    throw new ReferenceImageError(
      `could not read the reference image: ${cause instanceof Error ? cause.message : ""}`,
      { cause },
    );
  }
}

/** Each cell takes the mean of the pixels it covers. */
function shrink(rgba: Uint8Array, width: number, height: number, grid: Grid): Float32Array {
  const scale = Math.min(width / grid.width, height / grid.height);
  const left = (width - scale * grid.width) / 2;
  const top = (height - scale * grid.height) / 2;
  const out = new Float32Array(grid.width * grid.height * CHANNELS);
  for (let y = 0; y < grid.height; y++) {
    for (let x = 0; x < grid.width; x++) {
      const [red, green, blue] = meanOf(rgba, width, height, left + x * scale, top + y * scale, scale);
      out.set(toLatent(red, green, blue, 0.2), (y * grid.width + x) * CHANNELS);
    }
  }
  return out;
}

function meanOf(
  rgba: Uint8Array,
  width: number,
  height: number,
  left: number,
  top: number,
  size: number,
): readonly [number, number, number] {
  const x0 = Math.min(width - 1, Math.floor(left));
  const y0 = Math.min(height - 1, Math.floor(top));
  const x1 = Math.min(width, Math.max(x0 + 1, Math.floor(left + size)));
  const y1 = Math.min(height, Math.max(y0 + 1, Math.floor(top + size)));
  let red = 0;
  let green = 0;
  let blue = 0;
  for (let y = y0; y < y1; y++) {
    for (let x = x0; x < x1; x++) {
      const at = (y * width + x) * 4;
      red += rgba[at] as number;
      green += rgba[at + 1] as number;
      blue += rgba[at + 2] as number;
    }
  }
  const share = 1 / (255 * (x1 - x0) * (y1 - y0));
  return [red * share, green * share, blue * share];
}
