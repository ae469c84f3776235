import { describe, expect, test } from "vitest";
import { CLOSE } from "#protocol/live-session.ts";
import {
  type Ended,
  RECONNECT_WITHIN_MS,
  reconnectAfterMs,
  reconnectReason,
  reconnectWithinMs,
} from "#protocol/reconnect.ts";
import { deployed, KILLED, stampede } from "#tests/support/reconnect-herd.ts";

const CLIENTS = 10_000;
const PEAK_MAX = CLIENTS / 10;
const told = reconnectWithinMs(CLIENTS);

describe("ten thousand live sessions that end in one moment come back at most a tenth in any second", () => {
  test.each([
    ["the edge was killed and is back at once", KILLED, RECONNECT_WITHIN_MS, 0],
    ["the edge was killed and is back after a second", KILLED, RECONNECT_WITHIN_MS, 1_000],
    ["the edge stays away for five seconds", KILLED, RECONNECT_WITHIN_MS, 5_000],
    ["the edge stays away for half a minute", KILLED, RECONNECT_WITHIN_MS, 30_000],
    ["the edge stays away for ten minutes", KILLED, RECONNECT_WITHIN_MS, 600_000],
    ["the edge told them how many they are, and was killed", KILLED, told, 1_000],
    ["a deploy told them when to come", deployed(reconnectReason(told)), RECONNECT_WITHIN_MS, 1_000],
    ["a deploy told them nothing", deployed("deploy"), RECONNECT_WITHIN_MS, 1_000],
  ] as const)("%s", (_case, ended, withinMs, awayMs) => {
    for (let seed = 1; seed <= 3; seed++) {
      const seen = stampede({ clients: CLIENTS, clientsPerAccount: 20, ended, withinMs, awayMs, seed });
      expect(seen.peakTries).toBeLessThanOrEqual(PEAK_MAX);
      expect(seen.peakSessions).toBeLessThanOrEqual(PEAK_MAX);
      expect(seen.allBackMs).toBeLessThan(awayMs + 3 * 60_000);
    }
  });

  test("which they would not with a pause that they share", () => {
    const ended = deployed(reconnectReason(1_000));
    const herd = { clients: CLIENTS, clientsPerAccount: 20, ended, withinMs: 1_000, awayMs: 1_000, seed: 1 };
    expect(stampede(herd).peakTries).toBeGreaterThan(PEAK_MAX);
  });
});

test("a few sessions are back within two seconds of an edge that was away for one", () => {
  const withinMs = reconnectWithinMs(200);
  const herd = { clients: 200, clientsPerAccount: 1, ended: KILLED, withinMs, awayMs: 1_000, seed: 1 };
  expect(stampede(herd).allBackMs).toBeLessThanOrEqual(3_000);
});

describe("a client", () => {
  const closed = (code: number, reason = ""): Ended => ({ t: "closed", code, reason });
  const refused = (status: number, retryAfterMs: number | null = null): Ended => ({
    t: "refused",
    status,
    retryAfterMs,
  });

  test.each([closed(CLOSE.unauthorized), closed(CLOSE.forbidden), refused(401), refused(403), refused(404)])(
    "that is refused itself does not come again: %j",
    (ended) => {
      expect(reconnectAfterMs(ended, RECONNECT_WITHIN_MS, 0, 0)).toBeNull();
    },
  );

  test("that is told to slow down leaves the first window to others", () => {
    expect(reconnectAfterMs(closed(CLOSE.overload), 10_000, 0, 0)).toBe(10_000);
    expect(reconnectAfterMs(refused(503), 10_000, 0, 0)).toBe(10_000);
  });

  test("never comes before the time that a refusal names", () => {
    expect(reconnectAfterMs(refused(429, 30_000), 1_000, 0, 0)).toBeGreaterThanOrEqual(30_000);
  });

  test("waits longer after every failure, and never longer than a minute", () => {
    const waits = Array.from(
      { length: 12 },
      (_, failures) => reconnectAfterMs(closed(1_006), 1_000, failures, 0.999) ?? 0,
    );
    expect(waits).toEqual(waits.toSorted((a, b) => a - b));
    expect(waits.at(-1)).toBeLessThanOrEqual(60_000);
  });
});
