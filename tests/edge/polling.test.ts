import { expect, test } from "vitest";
import { VideoId } from "#protocol/id.ts";
import { Video } from "#protocol/video.ts";
import { arrive } from "./customer.ts";
import { ending, event, OTHER_VIDEO_ID, video, VIDEO_ID } from "./sample.ts";

const path = `/v1/videos/${VIDEO_ID}`;

type Customer = Awaited<ReturnType<typeof arrive>>;

/** The video ends once somebody watches it. */
function endWhenWatched({ controlPlane, push }: Customer, id = VIDEO_ID): void {
  controlPlane.whileReadingSnapshot = async () => {
    controlPlane.whileReadingSnapshot = async () => undefined;
    controlPlane.videos.set(id, video({ id, status: "completed", progress: 100 }));
    controlPlane.log.push(event(1, OTHER_VIDEO_ID), ending(2, id));
    void push(controlPlane.log.map((told) => ({ kind: "event", event: told })));
  };
}

test("a read that prefers to wait is answered when the video has ended", async () => {
  const customer = await arrive();
  customer.controlPlane.videos.set(VIDEO_ID, video());
  endWhenWatched(customer);
  const answer = await customer.call(path, { headers: { prefer: "wait=30" } });
  expect(answer.headers.get("preference-applied")).toBe("wait=30");
  expect(answer.headers.get("openai-poll-after-ms")).toBeNull();
  expect(Video.parse(await answer.json())).toMatchObject({ status: "completed", progress: 100 });
});

test("a create that prefers to wait is answered with the finished video", async () => {
  const customer = await arrive();
  endWhenWatched(customer, VideoId.parse(`video_${"100".padStart(32, "0")}`));
  const answer = await customer.create({ prompt: "a red fox" }, { prefer: "wait=10" });
  expect([answer.status, answer.headers.get("preference-applied")]).toEqual([200, "wait=10"]);
  expect(Video.parse(await answer.json()).status).toBe("completed");
});

test("a wait is over when its seconds are: the video is shown as it stands", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video({ status: "in_progress", progress: 40 }));
  const answer = await call(path, { headers: { prefer: "wait=0" } });
  expect(answer.headers.get("preference-applied")).toBe("wait=0");
  expect(answer.headers.get("openai-poll-after-ms")).toBe("1000");
  expect(Video.parse(await answer.json())).toMatchObject({ status: "in_progress", progress: 40 });
});

test("a video that has ended is not waited for", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video({ status: "failed" }));
  const answer = await call(path, { headers: { prefer: "wait=30" } });
  expect(answer.headers.get("preference-applied")).toBe("wait=30");
  expect(controlPlane.calls("POST", "/edge/v1/snapshot")).toEqual([]);
});

test("who has no session left is answered at once, and told that its preference was not kept", async () => {
  const { call, controlPlane, listen } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video());
  await Promise.all(Array.from({ length: 20 }, () => listen()));
  const answer = await call(path, { headers: { prefer: "wait=30" } });
  expect([answer.status, answer.headers.get("preference-applied")]).toEqual([200, null]);
});

test("a wait leaves its session, so that waits never use them up", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video());
  for (let n = 0; n < 25; n++) {
    const answer = await call(path, { headers: { prefer: "wait=0" } });
    expect(answer.headers.get("preference-applied")).toBe("wait=0");
  }
});

test("a video that has not changed since is a 304, one that has comes whole", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video());
  const first = await call(path);
  const etag = first.headers.get("etag") ?? "";
  expect(etag).toMatch(/^"[0-9a-f]{32}"$/);
  const same = await call(path, { headers: { "if-none-match": `W/${etag}` } });
  expect([same.status, await same.text(), same.headers.get("etag")]).toEqual([304, "", etag]);
  expect(same.headers.get("openai-poll-after-ms")).toBe("1000");
  controlPlane.videos.set(VIDEO_ID, video({ progress: 7 }));
  const changed = await call(path, { headers: { "if-none-match": etag } });
  expect([changed.status, Video.parse(await changed.json()).progress]).toEqual([200, 7]);
});

test("a long wait is polled for rarely", async () => {
  const { call, controlPlane } = await arrive();
  const eta = { start_p50: 60, start_p90: 90, finish_p50: 80, finish_p90: 120 };
  controlPlane.videos.set(VIDEO_ID, video({ scheduler: { ...video().scheduler, eta } }));
  expect((await call(path)).headers.get("openai-poll-after-ms")).toBe("8000");
});
