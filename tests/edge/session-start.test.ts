import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from "cloudflare:test";
import { afterEach, expect, test, vi } from "vitest";
import type { AccountSession } from "#edge/account-session.ts";
import type { Push } from "#protocol/edge-call.ts";
import { HelloFrame, ResyncFrame, SnapshotFrame, VideoStanding } from "#protocol/live-session.ts";
import { arrive } from "./customer.ts";
import { event, OTHER_VIDEO_ID, progress, video, VIDEO_ID } from "./sample.ts";

afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

const typesOf = (frames: readonly { readonly type: string }[]) => frames.map(({ type }) => type);

test("a client that connects knows at once where its unfinished videos stand", async () => {
  const { controlPlane, listen } = await arrive();
  const running = video({ status: "in_progress", progress: 40 });
  controlPlane.videos.set(VIDEO_ID, running);
  controlPlane.videos.set(OTHER_VIDEO_ID, video({ id: OTHER_VIDEO_ID, status: "completed", progress: 100 }));
  controlPlane.log.push(event(1), event(2));
  const [hello, snapshot, caughtUp] = await (await listen()).until("caught_up");
  expect(HelloFrame.parse(hello)).toMatchObject({ last_sequence_number: 2, replay_window: 5_000 });
  expect(SnapshotFrame.parse(snapshot)).toEqual({
    type: "snapshot",
    last_sequence_number: 2,
    videos: [VideoStanding.parse(running)],
    has_more: false,
  });
  expect(caughtUp).toEqual({ type: "caught_up", sequence_number: 2 });
});

test("a client that asks for certain videos is told of those, also of finished ones", async () => {
  const { controlPlane, listen } = await arrive();
  controlPlane.videos.set(OTHER_VIDEO_ID, video({ id: OTHER_VIDEO_ID, status: "completed", progress: 100 }));
  controlPlane.log.push(event(1), event(2, OTHER_VIDEO_ID), event(3));
  const session = await listen();
  await session.until("caught_up");
  session.send({ type: "subscribe", starting_after: 0, video_ids: [OTHER_VIDEO_ID] });
  const frames = await session.until("caught_up");
  expect(typesOf(frames)).toEqual(["snapshot", "video.queued", "caught_up"]);
  expect(SnapshotFrame.parse(frames[0]).videos.map(({ id }) => id)).toEqual([OTHER_VIDEO_ID]);
  // It counts what it was not sent: with this cursor nothing is told twice.
  expect(frames.at(-1)).toMatchObject({ sequence_number: 3 });
});

test.each([
  ["too far back", 3, 5_004, { from: 5_004, reason: "cursor_too_old" }],
  ["ahead of the log", 7, 6, { from: 6, reason: "cursor_ahead" }],
])("a cursor that is %s is resynchronised, never silently", async (_what, cursor, last, resync) => {
  const { controlPlane, listen, push } = await arrive();
  controlPlane.log.push(event(last));
  const session = await listen(`?starting_after=${cursor}`);
  const frames = await session.until("caught_up");
  expect(typesOf(frames)).toEqual(["hello", "resync", "snapshot", "caught_up"]);
  expect(ResyncFrame.parse(frames[1])).toMatchObject(resync);
  await push([{ kind: "event", event: event(last + 1) }]);
  expect(await session.numbers(1)).toEqual([last + 1]);
});

test("a subscribe frame with a cursor that is too old is resynchronised too", async () => {
  const { controlPlane, listen } = await arrive();
  controlPlane.log.push(event(6_000));
  const session = await listen();
  await session.until("caught_up");
  session.send({ type: "subscribe", starting_after: 1 });
  expect(typesOf(await session.until("caught_up"))).toEqual(["resync", "snapshot", "caught_up"]);
});

test("what happens while the snapshot is read comes after it, once", async () => {
  const { account, controlPlane, listen, object } = await arrive();
  const pushedMeanwhile = Promise.withResolvers<void>();
  controlPlane.whileReadingSnapshot = () => pushedMeanwhile.promise;
  const session = await listen();
  await vi.waitFor(() => expect(controlPlane.calls("POST", "/edge/v1/snapshot")).toHaveLength(1));
  controlPlane.log.push(event(1));
  await runInDurableObject(object, (instance: AccountSession) => {
    const items: Push["items"] = [
      { kind: "event", event: event(1) },
      { kind: "progress", frame: progress(50) },
    ];
    const pushing = instance.push(account, { items });
    pushedMeanwhile.resolve();
    return pushing;
  });
  expect(typesOf(await session.until("caught_up"))).toEqual(["hello", "snapshot", "video.queued", "caught_up"]);
  expect(await session.untilPong()).toEqual([]);
});

test("clients that come back together cost the control plane one subscription and one snapshot", async () => {
  const { controlPlane, listen } = await arrive();
  const sessions = await Promise.all(Array.from({ length: 20 }, () => listen()));
  await Promise.all(sessions.map((session) => session.until("caught_up")));
  expect(controlPlane.calls("PUT", "/edge/v1/subscription").length).toBeLessThanOrEqual(2);
  expect(controlPlane.calls("POST", "/edge/v1/snapshot").length).toBeLessThanOrEqual(2);
  expect(controlPlane.calls("POST", "/edge/v1/keys/check")).toHaveLength(1);
});

test("a snapshot that could not be read is given by the alarm, before anything else", async () => {
  const { controlPlane, listen, object, push } = await arrive();
  vi.spyOn(console, "warn").mockReturnValue();
  vi.spyOn(scheduler, "wait").mockImplementation(() => Promise.resolve());
  controlPlane.outage = (_host, path) => (path === "/edge/v1/snapshot" ? "refused" : "none");
  const session = await listen();
  expect((await session.next()).type).toBe("hello");
  controlPlane.log.push(event(1));
  expect((await push([{ kind: "event", event: event(1) }])).status).toBe(503);
  await evictDurableObject(object);
  controlPlane.outage = () => "none";
  await runDurableObjectAlarm(object);
  expect(typesOf(await session.until("caught_up"))).toEqual(["snapshot", "video.queued", "caught_up"]);
});

test("a session that takes another one's place closes it with 4009 and needs no room of its own", async () => {
  const { listen, call } = await arrive();
  const sessions = await Promise.all(Array.from({ length: 20 }, () => listen()));
  const [first] = sessions;
  const { session_id: id } = HelloFrame.parse(await first?.next());
  expect((await call("/v1/videos/events", { headers: { upgrade: "websocket" } })).status).toBe(429);
  const next = await listen(`?replaces=${id}`);
  expect(await first?.closed).toMatchObject({ code: 4009 });
  expect((await next.next()).type).toBe("hello");
});

test("a revocation that was never pushed ends the session at the next alarm", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const { controlPlane, listen, hash, object } = await arrive();
  const session = await listen();
  await session.until("caught_up");
  controlPlane.keys.delete(hash);
  vi.setSystemTime(Date.now() + 30_000);
  await runDurableObjectAlarm(object);
  expect((await session.closed).code).toBe(4001);
});
