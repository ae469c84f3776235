import { expect, test } from "vitest";
import { openEncoder } from "#gpu-runner/mp4/encode-mp4.ts";

const ROUNDS = 10;

test("an encoder that is closed with frames still in it ends quietly, as when a video is cancelled while it is decoded", async () => {
  const faults: unknown[] = [];
  const note = (fault: unknown) => faults.push(fault);
  process.on("uncaughtException", note);
  const [width, height] = [640, 480];
  for (let round = 0; round < ROUNDS; round++) {
    const encoder = openEncoder(width, height, 24);
    const rgba = new Uint8ClampedArray(width * height * 4).fill(round * 20);
    for (let frame = 0; frame < 4; frame++) await encoder.add(rgba);
    encoder.close();
  }
  // Whatever was still to come out has come by the time that a later encoder is done.
  const last = openEncoder(width, height, 24);
  await last.add(new Uint8ClampedArray(width * height * 4));
  expect((await last.finish()).length).toBeGreaterThan(0);
  last.close();
  process.off("uncaughtException", note);
  expect(faults).toEqual([]);
});
