/** The one line a user watches. */
import { expect, test } from "vitest";
import { duration, progressLine, type VideoProgress } from "#cli/progress-line.ts";

const QUEUED: VideoProgress = {
  state: "queued",
  progress: 0,
  position: 3,
  startSeconds: 75,
  finishSeconds: 100,
  elapsedSeconds: 2,
  running: null,
};

test("a waiting video shows how many are ahead and when it starts", () => {
  expect(progressLine(QUEUED, 200)).toBe(
    "[........................]   0 % · queued · 3 ahead · starts in about 1 min 15 s · about 1 min 40 s left · 2 s so far",
  );
  expect(progressLine({ ...QUEUED, position: 0, startSeconds: null, finishSeconds: null }, 200)).toContain(
    "queued · next in line · 2 s so far",
  );
});

test("a running video shows what is left at the pace it has, not the first estimate", () => {
  const running = {
    ...QUEUED,
    state: "running",
    progress: 50,
    elapsedSeconds: 30,
    running: { seconds: 20, from: 10 },
  } as const;
  expect(progressLine(running, 200)).toBe(
    "[############............]  50 % · rendering · about 25 s left · 30 s so far",
  );
});

test("a finished video has nothing left to wait for", () => {
  expect(progressLine({ ...QUEUED, state: "completed", progress: 100, elapsedSeconds: 41 }, 200)).toBe(
    "[########################] 100 % · done · 41 s so far",
  );
});

test("the line never wraps on a narrow terminal", () => {
  expect(progressLine(QUEUED, 60)).toHaveLength(59);
});

test("durations read like a person says them", () => {
  expect([0, 59.4, 60, 3599, 3600, 7260].map(duration)).toEqual([
    "0 s",
    "59 s",
    "1 min 0 s",
    "59 min 59 s",
    "1 h 0 min",
    "2 h 1 min",
  ]);
});
