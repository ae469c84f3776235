import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type Ended, firstDial, nextDial, REDIAL_MS_MAX, REDIRECTS_MAX } from "#gpu-runner/core/redial.ts";
import { CLOSE_NOT_LEADER, CLOSE_REPLACED, REDIAL_GRACE_MS } from "#protocol/runner.ts";

const URLS = ["http://a.test:8080", "http://b.test:8080/", "https://c.test"] as const;
const WORST = 0.999_999;

const refused = (at: number): Ended => ({ at, welcomed: false, brief: false, code: 1_006, reason: "" });
const follower = (at: number, reason: string): Ended => ({
  at,
  welcomed: false,
  brief: false,
  code: CLOSE_NOT_LEADER,
  reason,
});

describe("a replica that does not lead", () => {
  test.each([
    ["http://b.test:8080", 1],
    ["HTTP://B.test:8080/", 1],
    ["https://c.test:443", 2],
    ["https://c.test/", 2],
  ])("names the leader as %s: that is dialled at once", (reason, at) => {
    expect(nextDial(firstDial(URLS).redial, follower(0, reason), WORST)).toMatchObject({ at, delayMs: 0 });
  });

  test.each([
    "this replica does not lead; try the next address",
    "http://b.test:8081",
    "https://b.test:8080",
    "http://evil.test:8080",
    "http://b.test:8080@evil.test",
    "http://user@b.test:8080",
    "http://b.test:8080/x",
    "http://b.test:8080/?to=evil",
    "ws://b.test:8080",
    "javascript:alert(1)",
    "http://",
    "",
  ])("says %j, which no operator named: the next of the list is dialled, never that", (reason) => {
    expect(nextDial(firstDial(URLS).redial, follower(2, reason), WORST)).toMatchObject({ at: 1 });
  });

  test("and names itself is not dialled again for it", () => {
    expect(nextDial(firstDial(URLS).redial, follower(0, URLS[0]), WORST)).toMatchObject({ at: 1 });
  });

  test("is believed only so often in a row; then the list goes on with pauses", () => {
    let { redial } = firstDial(URLS);
    const delays: number[] = [];
    for (let turn = 0; turn < 30; turn++) {
      const at = turn % 2;
      const next = nextDial(redial, follower(at, URLS[1 - at] as string), WORST);
      redial = next.redial;
      delays.push(next.delayMs);
    }
    expect(redial.redirects).toBe(REDIRECTS_MAX);
    expect(delays.slice(REDIRECTS_MAX + URLS.length).filter((ms) => ms > 0).length).toBeGreaterThan(5);
  });
});

describe("a socket that closes", () => {
  test("is dialled again where the last welcome came from, at once; then the rest of the list, at once", () => {
    let next = nextDial(
      firstDial(URLS).redial,
      { at: 2, welcomed: true, brief: false, code: 1_006, reason: "" },
      WORST,
    );
    const order = [next];
    for (let dial = 1; dial < URLS.length; dial++) order.push((next = nextDial(next.redial, refused(next.at), WORST)));
    expect(order.map(({ at, delayMs }) => [at, delayMs])).toEqual([
      [2, 0],
      [0, 0],
      [1, 0],
    ]);
    expect(nextDial(next.redial, refused(1), WORST)).toMatchObject({ at: 2, delayMs: 99 });
  });

  test("because its leader stepped down is dialled elsewhere first", () => {
    const ended = { at: 1, welcomed: true, brief: false, code: CLOSE_NOT_LEADER, reason: "this replica leads no more" };
    expect(nextDial(firstDial(URLS).redial, ended, WORST)).toMatchObject({ at: 2, delayMs: 0 });
  });

  test("because another process took the runner's name waits first", () => {
    const ended = { at: 1, welcomed: true, brief: false, code: CLOSE_REPLACED, reason: "" };
    expect(nextDial(firstDial(URLS).redial, ended, 0).delayMs).toBeGreaterThanOrEqual(1_000);
  });
});

test("whatever happens, every address of the list comes up in every pass, and no wait outlasts the grace", () => {
  expect(REDIAL_MS_MAX).toBeLessThan(REDIAL_GRACE_MS);
  const endings = fc.record({
    code: fc.constantFrom(1_006, 1_008, 1_000, CLOSE_NOT_LEADER),
    reason: fc.constantFrom("", ...URLS, "http://elsewhere.test"),
  });
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: URLS.length }),
      fc.array(endings, { maxLength: 60 }),
      fc.double({ min: 0, max: WORST, noNaN: true }),
      (count, script, random) => {
        const urls = URLS.slice(0, count);
        let next = firstDial(urls);
        const own: number[] = [0];
        for (const { code, reason } of script) {
          const before = next.redial;
          next = nextDial(before, { at: next.at, welcomed: false, brief: false, code, reason }, random);
          expect(next.delayMs).toBeGreaterThanOrEqual(0);
          expect(next.delayMs).toBeLessThanOrEqual(REDIAL_MS_MAX);
          if (next.redial.redirects === before.redirects) own.push(next.at);
          else expect(next.delayMs).toBe(0);
        }
        expect(next.redial.redirects).toBeLessThanOrEqual(REDIRECTS_MAX);
        expect(own).toEqual(own.map((_, dial) => dial % count));
      },
    ),
  );
});
