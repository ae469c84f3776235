import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  believedOf,
  greetingOf,
  type LineEffect,
  type LineEvent,
  type LineState,
  newLine,
  stepLine,
} from "#gpu-runner/core/line.ts";
import { REDIAL_MS_MAX } from "#gpu-runner/core/redial.ts";
import { CLOSE_NOT_LEADER, CLOSE_REPLACED } from "#protocol/runner.ts";

const URLS = ["http://a.test", "http://b.test", "http://c.test"];

/** A line driven by hand: it remembers its state and everything it was told to do. */
class Played {
  line: LineState;
  readonly effects: LineEffect[] = [];

  constructor(urls: readonly string[] = URLS) {
    const first = newLine(urls);
    this.line = first.line;
    this.effects.push(...first.effects);
  }

  /** What came of this one event. */
  feed(event: LineEvent, random = 0.5): readonly LineEffect[] {
    const { line, effects } = stepLine(this.line, event, random);
    this.line = line;
    this.effects.push(...effects);
    return effects;
  }

  /** A line that is believed over its first call. */
  up(): this {
    this.feed({ t: "opened", id: 0 });
    this.feed({ t: "welcomed", id: 0 });
    return this;
  }

  /** Its pings stay unanswered, and another call has opened beside it. */
  beside(): this {
    this.up().feed({ t: "unanswered", id: 0 });
    this.feed({ t: "due" });
    this.feed({ t: "opened", id: 1 });
    return this;
  }
}

describe("a believed call that goes mute", () => {
  test("is kept, and its own address is dialled beside it at once, then the others", () => {
    const played = new Played().up();
    expect(played.feed({ t: "unanswered", id: 0 })).toEqual([{ t: "wait", delayMs: 0 }]);
    expect(played.feed({ t: "due" })).toEqual([{ t: "dial", id: 1, at: 0 }]);
    expect(played.feed({ t: "stalled", id: 1 })).toEqual([{ t: "wait", delayMs: 0 }]);
    expect(played.feed({ t: "due" })).toEqual([{ t: "dial", id: 2, at: 1 }]);
    expect(believedOf(played.line)).toMatchObject({ id: 0, mute: true });
  });

  test("goes on if it is the first to answer, and the dials beside it are dropped", () => {
    const played = new Played().up();
    played.feed({ t: "unanswered", id: 0 });
    played.feed({ t: "due" });
    expect(played.feed({ t: "answered", id: 0 })).toEqual([{ t: "rest" }, { t: "cut", id: 1 }]);
    expect(played.line).toMatchObject({ calls: [{ id: 0, mute: false }], due: null });
  });

  test("is cut only when another call is welcomed", () => {
    const played = new Played().beside();
    expect(believedOf(played.line)?.id).toBe(0);
    expect(played.feed({ t: "welcomed", id: 1 })).toContainEqual({ t: "cut", id: 0 });
    expect(played.line.calls).toMatchObject([{ id: 1, stage: "believed" }]);
  });

  test("stays believed if the other one turns out not to lead, and the named leader is dialled", () => {
    const played = new Played().up();
    played.feed({ t: "unanswered", id: 0 });
    played.feed({ t: "due" });
    played.feed({ t: "stalled", id: 1 });
    played.feed({ t: "due" });
    played.feed({ t: "opened", id: 2 });
    const ended = { t: "closed", id: 2, code: CLOSE_NOT_LEADER, reason: URLS[2] as string } as const;
    expect(played.feed(ended)).toEqual([{ t: "wait", delayMs: 0 }]);
    expect(played.feed({ t: "due" })).toEqual([{ t: "dial", id: 3, at: 2 }]);
    expect(believedOf(played.line)?.id).toBe(0);
  });
});

describe("a leader that welcomes and hangs up", () => {
  const hungUp = (id: number) => ({ t: "closed", id, code: 1_006, reason: "" }) as const;

  /** How long each redial waits. */
  function waits(played: Played, times: number, random: number): number[] {
    return Array.from({ length: times }, (_, id) => {
      played.feed({ t: "opened", id });
      played.feed({ t: "welcomed", id });
      const effects = played.feed(hungUp(id), random);
      played.feed({ t: "due" });
      return effects.flatMap((effect) => (effect.t === "wait" ? [effect.delayMs] : []))[0] ?? Infinity;
    });
  }

  test.each([
    [1, 0],
    [3, 0],
    [1, 0.999],
    [3, 0.999],
  ])("is dialled at once the first time, then ever less often, with %i addresses and luck %d", (count, random) => {
    const ms = waits(new Played(URLS.slice(0, count)), 40, random);
    expect(ms[0]).toBe(0);
    expect(ms).toEqual(ms.toSorted((a, b) => a - b));
    let spentMs = 0;
    expect(ms.filter((waitMs) => (spentMs += waitMs) <= 10_000).length).toBeLessThan(30);
    expect(Math.max(...ms)).toBeLessThanOrEqual(REDIAL_MS_MAX);
  });

  test("is looked for at the other addresses without a pause, once it takes no call", () => {
    const played = new Played();
    waits(played, 5, 0.5);
    expect(played.feed(hungUp(5))).toEqual([{ t: "wait", delayMs: 0 }]);
  });

  test.each(["answered", "unanswered"] as const)(
    "that has lasted until a ping was %s is dialled at once again",
    (t) => {
      const played = new Played();
      expect(waits(played, 5, 0.5).at(-1)).toBeGreaterThan(0);
      played.feed({ t: "opened", id: 5 });
      played.feed({ t: "welcomed", id: 5 });
      const effects = [...played.feed({ t, id: 5 }), ...played.feed(hungUp(5))];
      expect(effects).toContainEqual({ t: "wait", delayMs: 0 });
    },
  );
});

describe("a call that was replaced", () => {
  test("by our own hello is no other runner's doing: the welcome is waited for", () => {
    const played = new Played().beside();
    expect(played.feed({ t: "closed", id: 0, code: CLOSE_REPLACED, reason: "" })).toEqual([{ t: "down" }]);
    expect(played.feed({ t: "welcomed", id: 1 })).toEqual([{ t: "rest" }]);
    expect(believedOf(played.line)?.id).toBe(1);
  });

  test("by our own hello, whose call broke before its welcome came, is dialled again without the pause for twins", () => {
    const played = new Played().beside();
    played.feed({ t: "closed", id: 1, code: 1_006, reason: "" });
    played.feed({ t: "due" });
    const effects = played.feed({ t: "closed", id: 0, code: CLOSE_REPLACED, reason: "" });
    expect(effects).not.toContainEqual({ t: "name_taken" });
    const waits = effects.flatMap((effect) => (effect.t === "wait" ? [effect.delayMs] : []));
    expect(waits.every((ms) => ms === 0)).toBe(true);
  });

  test("with no hello of ours since is another process of our name, which is said and given room", () => {
    const effects = new Played().up().feed({ t: "closed", id: 0, code: CLOSE_REPLACED, reason: "" });
    expect(effects).toMatchObject([{ t: "name_taken" }, { t: "down" }, { t: "wait" }]);
    expect(effects[2]).toHaveProperty("delayMs", 1_500);
  });
});

test("whatever happens, one call at most is believed, it is left only for another that was welcomed, and dialling never ends", () => {
  const events = fc.record({
    t: fc.constantFrom("due", "stalled", "opened", "welcomed", "answered", "unanswered", "closed"),
    nth: fc.nat({ max: 5 }),
    code: fc.constantFrom(1_006, CLOSE_REPLACED, CLOSE_NOT_LEADER),
    random: fc.double({ min: 0, max: 0.999, noNaN: true }),
  });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 3 }), fc.array(events, { maxLength: 80 }), (count, script) => {
      const played = new Played(URLS.slice(0, count));
      for (const { t, nth, code, random } of script) {
        const before = believedOf(played.line);
        const id = played.line.calls[nth % Math.max(1, played.line.calls.length)]?.id ?? 0;
        const effects = played.feed({ t, id, code, reason: "" }, random);
        const { calls, due } = played.line;
        const after = believedOf(played.line);
        expect(calls.filter(({ stage }) => stage === "believed").length).toBeLessThanOrEqual(1);
        expect(calls.filter(({ stage }) => stage === "greeting").length).toBeLessThanOrEqual(1);
        const dialled = calls.filter(({ stage }) => stage === "dialling").map(({ at }) => at);
        expect(new Set(dialled).size).toBe(dialled.length);
        if (before !== null && after?.id !== before.id) {
          expect(after === null ? t === "closed" && id === before.id : t === "welcomed" && id === after.id).toBe(true);
          if (after !== null) expect(effects).toContainEqual({ t: "cut", id: before.id });
          else expect(effects).toContainEqual({ t: "down" });
        }
        const isHopeful = after?.mute === false || greetingOf(played.line) !== null;
        expect(isHopeful || dialled.length > 0 || due !== null).toBe(true);
      }
    }),
  );
});
