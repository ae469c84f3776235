import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, expect, test, vi } from "vitest";
import type { AccountSession } from "#edge/account-session.ts";
import { EVENTS_SUBPROTOCOL } from "#protocol/live-session.ts";
import type { Push } from "#protocol/edge-call.ts";
import { arrive } from "./customer.ts";
import { hasten } from "./hasten.ts";
import { event, OTHER_VIDEO_ID, position, progress, VIDEO_ID } from "./sample.ts";

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

function pushed(...numbers: readonly number[]): Push["items"] {
  return numbers.map((number) => ({ kind: "event", event: event(number) }));
}

function logOf(count: number) {
  return Array.from({ length: count }, (_, index) => event(index + 1));
}

test("a session is opened with a good key only", async () => {
  const { call, controlPlane } = await arrive();
  const headers = { upgrade: "websocket", authorization: "Bearer cs_nope" };
  expect((await call("/v1/videos/events", { headers })).status).toBe(401);
  controlPlane.keys.clear();
  expect((await call("/v1/videos/events", { headers: { upgrade: "websocket" } })).status).toBe(401);
  const bad = await call("/v1/videos/events?starting_after=x", { headers: { upgrade: "websocket" } });
  expect(bad.status).toBe(400);
});

test("a session starts with hello, live from now, and echoes the subprotocol", async () => {
  const { controlPlane, listen, push } = await arrive();
  controlPlane.log.push(...logOf(3));
  const session = await listen("", { "sec-websocket-protocol": `x, ${EVENTS_SUBPROTOCOL}` });
  expect(session.response.headers.get("sec-websocket-protocol")).toBe(EVENTS_SUBPROTOCOL);
  expect(await session.next()).toMatchObject({ type: "hello", last_sequence_number: 3 });
  expect(controlPlane.live).toBe(true);
  expect(await (await push(pushed(4))).json()).toEqual({ live: true });
  expect(await session.numbers(1)).toEqual([4]);
});

test("a session replays what came after its cursor, page by page, then goes on live", async () => {
  const { controlPlane, listen, push } = await arrive();
  controlPlane.log.push(...logOf(7));
  controlPlane.pageSize = 2;
  const session = await listen("?starting_after=2");
  expect((await session.next()).type).toBe("hello");
  expect(await session.numbers(5)).toEqual([3, 4, 5, 6, 7]);
  await push(pushed(8));
  expect(await session.numbers(1)).toEqual([8]);
});

test("events that are pushed while a replay runs come once and in order", async () => {
  const { controlPlane, listen, push } = await arrive();
  controlPlane.log.push(...logOf(4));
  controlPlane.pageSize = 2;
  let pushing: Promise<unknown> = Promise.resolve();
  controlPlane.whileReadingPage = async () => {
    if (controlPlane.log.length >= 6) return;
    const number = controlPlane.log.length + 1;
    controlPlane.log.push(event(number));
    pushing = push([...pushed(number), { kind: "progress", frame: progress(50) }]);
  };
  const session = await listen("?starting_after=0");
  await session.next();
  expect(await session.numbers(6)).toEqual([1, 2, 3, 4, 5, 6]);
  await pushing;
  expect((await session.untilPong()).filter((text) => text.includes("sequence_number"))).toEqual([]);
});

test("a session that joins while another one's replay is read misses nothing", async () => {
  const { controlPlane, listen } = await arrive();
  controlPlane.log.push(...logOf(4));
  const reading = Promise.withResolvers<void>();
  const joined = Promise.withResolvers<void>();
  controlPlane.whileReadingPage = () => {
    reading.resolve();
    return joined.promise;
  };
  const first = await listen("?starting_after=2");
  await reading.promise;
  const second = await listen("?starting_after=0");
  joined.resolve();
  expect(await first.numbers(2)).toEqual([3, 4]);
  expect(await second.numbers(4)).toEqual([1, 2, 3, 4]);
});

test("progress does not overtake a replay", async () => {
  const { account, controlPlane, listen, object } = await arrive();
  controlPlane.log.push(...logOf(2));
  const pushedMeanwhile = Promise.withResolvers<void>();
  controlPlane.whileReadingPage = () => pushedMeanwhile.promise;
  const session = await listen("?starting_after=0");
  await vi.waitFor(() => expect(controlPlane.calls("GET", "/edge/v1/events")).toHaveLength(1));
  await runInDurableObject(object, (instance: AccountSession) => {
    const pushing = instance.push(account, { items: [{ kind: "progress", frame: progress(50) }] });
    pushedMeanwhile.resolve();
    return pushing;
  });
  const types = (await session.untilPong()).map((text) => /"type":"([^"]+)"/.exec(text)?.[1]);
  expect(types).toEqual(["hello", "snapshot", "video.queued", "video.queued", "caught_up"]);
});

test("a repeated push is dropped and a gap is filled from the log before the push goes out", async () => {
  const { controlPlane, listen, push } = await arrive();
  const session = await listen();
  await session.until("caught_up");
  controlPlane.log.push(...logOf(5));
  await push(pushed(1));
  await push(pushed(1));
  await push(pushed(4, 5));
  expect(await session.numbers(5)).toEqual([1, 2, 3, 4, 5]);
  expect(controlPlane.calls("GET", "/edge/v1/events").map((call) => call.path)).toEqual([
    "/edge/v1/events?after=1&limit=200",
  ]);
});

test("progress and positions pass in the order they were pushed", async () => {
  const { listen, push } = await arrive();
  const session = await listen();
  await session.until("caught_up");
  await push([
    { kind: "position", frame: position(3) },
    ...pushed(1),
    { kind: "progress", frame: progress(10) },
    { kind: "progress", frame: progress(20) },
  ]);
  const types = [await session.next(), await session.next(), await session.next(), await session.next()];
  expect(types.map((frame) => frame.type)).toEqual([
    "video.queue_position",
    "video.queued",
    "video.progress",
    "video.progress",
  ]);
});

test("a session that subscribed to one video hears of no other, also after an eviction", async () => {
  const { listen, push, object } = await arrive();
  const session = await listen();
  await session.until("caught_up");
  session.send({ type: "subscribe", video_ids: [OTHER_VIDEO_ID] });
  await session.untilPong();
  await evictDurableObject(object);
  await push([
    { kind: "event", event: event(1, VIDEO_ID) },
    { kind: "progress", frame: progress(10, VIDEO_ID) },
    { kind: "event", event: event(2, OTHER_VIDEO_ID) },
  ]);
  expect(await session.numbers(1)).toEqual([2]);
});

test("a subscribe frame replays from its number, also for a cursor the evicted object cannot know", async () => {
  const { controlPlane, listen, object } = await arrive();
  const session = await listen();
  await session.until("caught_up");
  controlPlane.log.push(...logOf(6));
  await evictDurableObject(object);
  session.send({ type: "subscribe", starting_after: 4 });
  expect(await session.numbers(2)).toEqual([5, 6]);
});

test("an evicted object goes on where each socket stood", async () => {
  const { controlPlane, listen, push, object } = await arrive();
  const session = await listen();
  await session.until("caught_up");
  controlPlane.log.push(...logOf(4));
  await push(pushed(1, 2));
  await evictDurableObject(object);
  await push(pushed(2));
  await push(pushed(4));
  expect(await session.numbers(4)).toEqual([1, 2, 3, 4]);
});

test("the alarm renews the subscription and fetches what was missed meanwhile", async () => {
  const { controlPlane, listen, object } = await arrive();
  const session = await listen();
  await session.until("caught_up");
  controlPlane.log.push(...logOf(2));
  controlPlane.live = false;
  expect(await runDurableObjectAlarm(object)).toBe(true);
  expect(controlPlane.live).toBe(true);
  expect(await session.numbers(2)).toEqual([1, 2]);
});

test("the last close ends the subscription, not the first", async () => {
  const { controlPlane, listen, push, object } = await arrive();
  const [first, second] = [await listen(), await listen()];
  first.close(1000, "bye");
  expect(await first.closed).toEqual({ code: 1000, reason: "bye" });
  expect(controlPlane.live).toBe(true);
  second.close();
  expect((await second.closed).code).not.toBe(1006);
  expect(await (await push(pushed(1))).json()).toEqual({ live: false });
  await runDurableObjectAlarm(object);
  expect(controlPlane.live).toBe(false);
});

test.each([
  ["text that is no JSON", "hello"],
  ["an unknown frame", { type: "shout" }],
  ["an unknown field", { type: "subscribe", video: VIDEO_ID }],
  ["too many videos", { type: "subscribe", video_ids: Array.from({ length: 101 }, () => VIDEO_ID) }],
])("%s closes the session with 4003", async (_what, frame) => {
  const { listen } = await arrive();
  const session = await listen();
  session.send(frame);
  expect((await session.closed).code).toBe(4003);
});

test.each([1001, 4999])("a client that leaves with %i gets its code back", async (code) => {
  const { listen } = await arrive();
  const session = await listen();
  session.close(code, "bye");
  expect(await session.closed).toEqual({ code, reason: "bye" });
});

test("a push that finds a gap it cannot fill is refused, so that it comes again", async () => {
  const { controlPlane, listen, push } = await arrive();
  const session = await listen();
  await session.until("caught_up");
  vi.spyOn(console, "warn").mockReturnValue();
  hasten();
  controlPlane.outage = () => "refused";
  expect((await push(pushed(2))).status).toBe(503);
  controlPlane.outage = () => "none";
  await scheduler.wait(1_000);
  controlPlane.log.push(...logOf(2));
  expect((await push(pushed(2))).status).toBe(200);
  expect(await session.numbers(2)).toEqual([1, 2]);
});

test("a ping is answered", async () => {
  const { listen } = await arrive();
  const session = await listen();
  await session.until("caught_up");
  expect(await session.untilPong()).toEqual([]);
});

test("the twenty-first session of an account is refused", async () => {
  const { listen, call } = await arrive();
  await Promise.all(Array.from({ length: 20 }, () => listen()));
  const answer = await call("/v1/videos/events", { headers: { upgrade: "websocket" } });
  expect(answer.status).toBe(429);
  expect(answer.headers.get("retry-after")).not.toBeNull();
});

test.each([
  ["with another secret", { secret: "another-secret-0123456789abcdef0123456789" }],
  ["that is a minute old", { nowMs: Date.now() - 61_000 }],
  ["whose body was changed", { sent: '{"items":[]}' }],
])("a push %s is refused", async (_what, change) => {
  const { push, listen } = await arrive();
  const session = await listen();
  await session.until("caught_up");
  const answer = await push(pushed(1), change);
  expect(answer.status).toBe(401);
  expect(await session.untilPong()).toEqual([]);
});

test("a push that is none is a 400", async () => {
  const { push } = await arrive();
  const answer = await push([{ kind: "gossip" }] as never);
  expect(answer.status).toBe(400);
});
