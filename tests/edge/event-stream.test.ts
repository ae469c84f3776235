import { afterEach, expect, test, vi } from "vitest";
import { arrive } from "./customer.ts";
import { ending, event, OTHER_VIDEO_ID, progress, video, VIDEO_ID } from "./sample.ts";

afterEach(() => {
  vi.useRealTimers();
});

const SSE = { accept: "text/event-stream" };

interface Told {
  readonly id: string | null;
  readonly event: string | null;
}

/** A reader of an event stream: blocks in the order they came. */
class EventReader {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #decoder = new TextDecoder();
  #text = "";

  constructor(answer: Response) {
    if (answer.status !== 200 || answer.body === null) throw new Error(`no stream: ${answer.status}`);
    this.#reader = answer.body.getReader();
  }

  /** The next block; null at the end of the stream. */
  async block(): Promise<string | null> {
    for (;;) {
      const end = this.#text.indexOf("\n\n");
      if (end >= 0) {
        const block = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 2);
        return block;
      }
      const { done, value } = await this.#reader.read();
      if (done) return null;
      this.#text += this.#decoder.decode(value, { stream: true });
    }
  }

  async told(count: number): Promise<Told[]> {
    const told: Told[] = [];
    while (told.length < count) {
      const block = await this.block();
      if (block === null) throw new Error(`the stream ended after ${JSON.stringify(told)}`);
      const event = /^event: (.*)$/m.exec(block)?.[1];
      if (event !== undefined) told.push({ id: /^id: (.*)$/m.exec(block)?.[1] ?? null, event });
    }
    return told;
  }

  leave(): Promise<void> {
    return this.#reader.cancel();
  }
}

test("a stream begins with when to come back, and tells an account's events with their numbers", async () => {
  const { call, controlPlane, push } = await arrive();
  controlPlane.log.push(event(1), event(2));
  const answer = await call("/v1/videos/events?starting_after=1", { headers: SSE });
  expect(answer.headers.get("content-type")).toContain("text/event-stream");
  expect([answer.headers.get("cache-control"), answer.headers.has("x-request-id")]).toEqual(["no-store", true]);
  const reader = new EventReader(answer);
  expect(await reader.block()).toMatch(/^retry: \d+$/);
  expect(await reader.told(4)).toEqual([
    { id: "1", event: "hello" },
    { id: null, event: "snapshot" },
    { id: "2", event: "video.queued" },
    { id: "2", event: "caught_up" },
  ]);
  await push([
    { kind: "progress", frame: progress(10) },
    { kind: "event", event: event(3) },
  ]);
  expect(await reader.told(2)).toEqual([
    { id: null, event: "video.progress" },
    { id: "3", event: "video.queued" },
  ]);
  await reader.leave();
});

test("a reader that comes back goes on after its last event, whatever its address says", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.log.push(event(1), event(2), event(3));
  const headers = { ...SSE, "last-event-id": "2" };
  const reader = new EventReader(await call("/v1/videos/events?starting_after=0", { headers }));
  const told = await reader.told(4);
  expect(told.map(({ id }) => id)).toEqual(["2", null, "3", "3"]);
  await reader.leave();
});

test("a stream of one video tells of it alone, and ends with it", async () => {
  const { call, controlPlane, push } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video());
  const reader = new EventReader(await call(`/v1/videos/${VIDEO_ID}/events`));
  expect((await reader.told(3)).map((told) => told.event)).toEqual(["hello", "snapshot", "caught_up"]);
  await push([
    { kind: "event", event: event(1, OTHER_VIDEO_ID) },
    { kind: "event", event: ending(2, OTHER_VIDEO_ID) },
    { kind: "progress", frame: progress(90) },
    { kind: "event", event: ending(3) },
  ]);
  expect(await reader.told(2)).toEqual([
    { id: null, event: "video.progress" },
    { id: "3", event: "video.completed" },
  ]);
  expect(await reader.block()).toBeNull();
});

test("a video that has ended is told at once, and a reader that has heard it stays away", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video({ status: "completed", progress: 100 }));
  controlPlane.log.push(event(1), ending(2), event(3, OTHER_VIDEO_ID));
  const whole = await call(`/v1/videos/${VIDEO_ID}/events`);
  expect([whole.status, (await whole.text()).includes('"progress":100')]).toEqual([200, true]);
  const missed = await call(`/v1/videos/${VIDEO_ID}/events`, { headers: { "last-event-id": "1" } });
  expect([missed.status, (await missed.text()).includes("event: video.completed")]).toEqual([200, true]);
  expect((await call(`/v1/videos/${VIDEO_ID}/events`, { headers: { "last-event-id": "2" } })).status).toBe(204);
});

test.each([
  ["a video that nobody has", `/v1/videos/${VIDEO_ID}/events`, {}, 404],
  ["an id that is none", "/v1/videos/video_1/events", {}, 404],
  ["a cursor that is none", "/v1/videos/events?starting_after=x", SSE, 400],
  ["a last event that is none", `/v1/videos/${VIDEO_ID}/events`, { "last-event-id": "x" }, 400],
  ["a bad key", "/v1/videos/events", { ...SSE, authorization: "Bearer cs_nope" }, 401],
])("%s has no stream", async (_what, path, headers, status) => {
  const { call } = await arrive();
  expect((await call(path, { headers })).status).toBe(status);
});

test("streams count as sessions, and one that is left makes room", async () => {
  const { call, listen } = await arrive();
  await Promise.all(Array.from({ length: 19 }, () => listen()));
  const reader = new EventReader(await call("/v1/videos/events", { headers: SSE }));
  await reader.told(3);
  expect((await call("/v1/videos/events", { headers: SSE })).status).toBe(429);
  await reader.leave();
  await vi.waitFor(async () => {
    const answer = await call("/v1/videos/events", { headers: SSE });
    expect(answer.status).toBe(200);
    await answer.body?.cancel();
  });
});

test("a stream ends when its key is revoked", async () => {
  const { call, controlPlane, hash, push } = await arrive();
  const reader = new EventReader(await call("/v1/videos/events", { headers: SSE }));
  await reader.told(3);
  controlPlane.keys.delete(hash);
  await push([{ kind: "key_revoked", key_sha256: hash }]);
  expect(await reader.block()).toBeNull();
  expect((await call("/v1/videos/events", { headers: SSE })).status).toBe(401);
});
