/** Reads of an MP4 what a player needs to know, straight from its boxes (ISO 14496-12). */
export interface Mp4Facts {
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  readonly seconds: number;
  readonly codec: string;
  /** The index stands before the pictures: playback can start while the file still loads. */
  readonly fastStart: boolean;
}

export function readMp4(file: Buffer): Mp4Facts {
  const top = boxesIn(file).map((box) => box.type);
  const moov = inside(file, "moov");
  const header = inside(moov, "mvhd");
  const version = header.readUInt8(0);
  const timescale = header.readUInt32BE(version === 1 ? 20 : 12);
  const duration = version === 1 ? Number(header.readBigUInt64BE(24)) : header.readUInt32BE(16);
  const track = inside(moov, "trak");
  const table = inside(inside(inside(track, "mdia"), "minf"), "stbl");
  const trackHeader = inside(track, "tkhd");
  return {
    width: trackHeader.readUInt32BE(trackHeader.length - 8) / 65_536,
    height: trackHeader.readUInt32BE(trackHeader.length - 4) / 65_536,
    frames: inside(table, "stsz").readUInt32BE(8),
    seconds: duration / timescale,
    codec: inside(table, "stsd").toString("latin1", 12, 16),
    fastStart: top.indexOf("moov") !== -1 && top.indexOf("moov") < top.indexOf("mdat"),
  };
}

function inside(parent: Buffer, type: string): Buffer {
  const found = boxesIn(parent).find((box) => box.type === type);
  if (found === undefined) throw new Error(`no ${type} box`);
  return found.body;
}

function boxesIn(bytes: Buffer): readonly { readonly type: string; readonly body: Buffer }[] {
  const boxes = [];
  for (let at = 0; at + 8 <= bytes.length;) {
    const small = bytes.readUInt32BE(at);
    const header = small === 1 ? 16 : 8;
    const size = small === 0 ? bytes.length - at : small === 1 ? Number(bytes.readBigUInt64BE(at + 8)) : small;
    if (size < header || at + size > bytes.length) throw new Error("a box reaches past the end of the file");
    boxes.push({ type: bytes.toString("latin1", at + 4, at + 8), body: bytes.subarray(at + header, at + size) });
    at += size;
  }
  return boxes;
}
