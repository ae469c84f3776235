import { expect, test } from "vitest";
import { StageClock } from "#control-plane/core/scheduler/stage-clock.ts";
import { VideoId } from "#protocol/id.ts";

const LEASE = { job: VideoId.parse(`video_${"a".repeat(32)}`), epoch: 1 };
const ESTIMATE = { load: 0, encode: 10, denoise: 100, decode: 20, run: 130 };

function begun(sinceMs: number | null = 0): StageClock {
  const clock = new StageClock();
  clock.begin(LEASE, ESTIMATE, sinceMs);
  return clock;
}

test("each stage of a finished attempt took from its report to the next one's", () => {
  const clock = begun();
  clock.enter(LEASE, "load", 5);
  clock.enter(LEASE, "encode", 7);
  clock.enter(LEASE, "denoise", 20);
  clock.enter(LEASE, "denoise", 90); // The runner dialled again and says where it is.
  clock.enter(LEASE, "decode", 170);
  clock.enter(LEASE, "upload", 200);
  const times = [
    { stage: "load", predictedMs: 0, actualMs: 2 },
    { stage: "encode", predictedMs: 10, actualMs: 13 },
    { stage: "denoise", predictedMs: 100, actualMs: 150 },
    { stage: "decode", predictedMs: 20, actualMs: 30 },
    { stage: "upload", predictedMs: 0, actualMs: 11 },
  ];
  expect(clock.end(LEASE, "finished", 211)).toEqual(times);
  // The commit failed and the runner says it again: the same times.
  expect(clock.end(LEASE, "finished", 900)).toEqual(times);
  expect(clock.forget(LEASE)).toEqual(times);
  expect(clock.forget(LEASE)).toEqual([]);
});

test("a stage that was cut short does not count, those before it do", () => {
  const clock = begun();
  clock.enter(LEASE, "encode", 0);
  clock.enter(LEASE, "denoise", 10);
  expect(clock.end(LEASE, "broken", 50).map(({ stage }) => stage)).toEqual(["encode"]);
});

test("the stage under way at a takeover does not count, those after it do", () => {
  const clock = begun(null);
  clock.enter(LEASE, "denoise", 50);
  clock.enter(LEASE, "decode", 70);
  clock.enter(LEASE, "upload", 95);
  expect(clock.end(LEASE, "finished", 100)).toEqual([
    { stage: "decode", predictedMs: 20, actualMs: 25 },
    { stage: "upload", predictedMs: 0, actualMs: 5 },
  ]);
});

test("an engine without stages is timed as a whole, if its start was seen", () => {
  expect(begun(40).end(LEASE, "finished", 200)).toEqual([{ stage: "run", predictedMs: 130, actualMs: 160 }]);
  expect(begun(null).end(LEASE, "finished", 200)).toEqual([]);
});

test("an attempt that nobody ended, or nobody knows, has no times", () => {
  const clock = begun();
  clock.enter(LEASE, "encode", 0);
  clock.enter(LEASE, "denoise", 10);
  expect(clock.forget(LEASE)).toEqual([]);
  expect(clock.end(LEASE, "finished", 20)).toEqual([]);
});
