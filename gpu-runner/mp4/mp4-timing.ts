/**
 * Makes an MP4 last exactly frames ÷ fps. The muxer guesses the last frame's duration, so a 24-frame second came out as
 * 0.99 s; here the last sample and the four places that repeat the sum are set right, in place.
 */

const CONTAINERS = new Set(["moov", "trak", "mdia", "minf", "stbl", "edts"]);

interface Box {
  readonly type: string;
  /** Offset of the payload. */
  readonly at: number;
}

export function fixDuration(mp4: Uint8Array, frames: number, fps: number): void {
  const view = new DataView(mp4.buffer, mp4.byteOffset, mp4.byteLength);
  const boxes = listBoxes(view, 0, view.byteLength);
  const find = (type: string): number => {
    const box = boxes.find((candidate) => candidate.type === type);
    if (box === undefined) throw new Error(`the MP4 has no ${type} box`);
    return box.at;
  };
  const mdhd = find("mdhd");
  const stts = find("stts");
  const ticks = Math.round((frames * timescaleOf(view, mdhd)) / fps);
  setLastSample(view, stts, ticks);
  setDuration(view, mdhd, ticks);
  const mvhd = find("mvhd");
  const movieTicks = Math.round((frames * timescaleOf(view, mvhd)) / fps);
  setDuration(view, mvhd, movieTicks);
  const tkhd = find("tkhd");
  // tkhd has an extra pair of words (track id, reserved) where the others have the timescale.
  if (view.getUint8(tkhd) === 0) view.setUint32(tkhd + 20, movieTicks);
  else view.setBigUint64(tkhd + 28, BigInt(movieTicks));
  const elst = boxes.find((candidate) => candidate.type === "elst");
  if (elst !== undefined && view.getUint32(elst.at + 4) === 1) {
    if (view.getUint8(elst.at) === 0) view.setUint32(elst.at + 8, movieTicks);
    else view.setBigUint64(elst.at + 8, BigInt(movieTicks));
  }
}

function listBoxes(view: DataView, from: number, to: number): Box[] {
  const boxes: Box[] = [];
  for (let at = from; at + 8 <= to;) {
    const size = view.getUint32(at);
    const type = String.fromCharCode(...[4, 5, 6, 7].map((offset) => view.getUint8(at + offset)));
    boxes.push({ type, at: at + 8 });
    if (CONTAINERS.has(type)) boxes.push(...listBoxes(view, at + 8, at + size));
    // Only mdat may be too long for 32 bits, and with the index in front nothing of interest follows it.
    if (size < 8) break;
    at += size;
  }
  return boxes;
}

function timescaleOf(view: DataView, at: number): number {
  return view.getUint32(at + (view.getUint8(at) === 0 ? 12 : 20));
}

function setDuration(view: DataView, at: number, ticks: number): void {
  if (view.getUint8(at) === 0) view.setUint32(at + 16, ticks);
  else view.setBigUint64(at + 24, BigInt(ticks));
}

/** The last run of equal durations is the guessed last frame; it takes up what is missing to the sum. */
function setLastSample(view: DataView, at: number, ticks: number): void {
  const entries = view.getUint32(at + 4);
  let sum = 0;
  for (let entry = 0; entry < entries; entry++) {
    sum += view.getUint32(at + 8 + 8 * entry) * view.getUint32(at + 12 + 8 * entry);
  }
  const last = at + 8 + 8 * (entries - 1);
  const count = view.getUint32(last);
  const delta = view.getUint32(last + 4) + ticks - sum;
  if (count === 1 && delta > 0) view.setUint32(last + 4, delta);
}
