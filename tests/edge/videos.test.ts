import { exports } from "cloudflare:workers";
import { afterEach, expect, test, vi } from "vitest";
import { SubmitVideo } from "#protocol/edge-call.ts";
import { ErrorEnvelope } from "#protocol/error.ts";
import { Video } from "#protocol/video.ts";
import { MP4, TIER } from "./control-plane-stand-in.ts";
import { arrive } from "./customer.ts";
import { hasten } from "./hasten.ts";
import { video, VIDEO_ID } from "./sample.ts";

afterEach(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
});

test("the edge says that it lives without a key", async () => {
  const answer = await exports.default.fetch("https://edge.test/healthz");
  expect(await answer.json()).toEqual({ status: "ok" });
});

test("an active video says when to poll again, a finished one does not", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video());
  const active = await call(`/v1/videos/${VIDEO_ID}`);
  expect(active.headers.get("openai-poll-after-ms")).toBe("1000");
  expect(Video.parse(await active.json())).toEqual(video());
  controlPlane.videos.set(VIDEO_ID, video({ status: "completed" }));
  expect((await call(`/v1/videos/${VIDEO_ID}`)).headers.get("openai-poll-after-ms")).toBeNull();
});

test("list, cancel and delete reach the control plane as the caller's account", async () => {
  const { call, controlPlane, account } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video());
  expect((await call(`/v1/videos?limit=2&order=asc&after=${VIDEO_ID}`)).status).toBe(200);
  expect((await call(`/v1/videos/${VIDEO_ID}/cancel`, { method: "POST" })).status).toBe(200);
  expect(await (await call(`/v1/videos/${VIDEO_ID}`, { method: "DELETE" })).json()).toMatchObject({ deleted: true });
  expect(controlPlane.calls("GET", "/edge/v1/videos")[0]).toMatchObject({
    account,
    path: `/edge/v1/videos?limit=2&order=asc&after=${VIDEO_ID}`,
  });
});

test("a video that the control plane does not know is a 404", async () => {
  const { call } = await arrive();
  const answer = await call(`/v1/videos/${VIDEO_ID}`);
  expect([answer.status, ErrorEnvelope.parse(await answer.json()).error.code]).toEqual([404, "video_not_found"]);
});

test("a video's bytes pass, whole and in part", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video());
  const path = `/v1/videos/${VIDEO_ID}/content`;
  const whole = await call(`${path}?variant=video`);
  expect(whole.headers.get("content-type")).toBe("video/mp4");
  expect(whole.headers.get("accept-ranges")).toBe("bytes");
  expect(new Uint8Array(await whole.arrayBuffer())).toEqual(MP4);
  const part = await call(path, { headers: { range: "bytes=100-199" } });
  expect(part.status).toBe(206);
  expect(part.headers.get("content-range")).toBe("bytes 100-199/4000");
  expect(part.headers.get("content-length")).toBe("100");
  expect(new Uint8Array(await part.arrayBuffer())).toEqual(MP4.slice(100, 200));
  const changed = await call(path, { headers: { range: "bytes=100-199", "if-range": '"old"' } });
  expect([changed.status, (await changed.arrayBuffer()).byteLength]).toEqual([200, 4_000]);
});

test("a create that meets a restarting control plane goes through once it is back, under one create_key", async () => {
  const { create, controlPlane } = await arrive();
  let left = 4;
  controlPlane.outage = (_host, path) =>
    path !== "/edge/v1/videos" || left-- <= 0 ? "none" : left % 2 === 0 ? "refused" : "busy";
  expect((await create({ prompt: "a" })).status).toBe(200);
  const tries = controlPlane.calls("POST", "/edge/v1/videos");
  expect(tries.length).toBeGreaterThan(1);
  expect(new Set(tries.map((sent) => SubmitVideo.parse(sent.body).create_key)).size).toBe(1);
  expect(new Set(tries.map((sent) => sent.requestId)).size).toBe(tries.length);
});

test("a replica that is down costs nothing: the other one answers", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.outage = (host) => (host === "control-plane-a.test" ? "refused" : "none");
  expect((await call("/v1/videos")).status).toBe(200);
  expect(controlPlane.received.every((sent) => sent.host === "control-plane-b.test")).toBe(true);
  controlPlane.outage = (host) => (host === "control-plane-b.test" ? "refused" : "none");
  expect((await call("/v1/videos")).status).toBe(200);
});

test("without any control plane the client is told to come back", async () => {
  vi.spyOn(console, "warn").mockReturnValue();
  hasten();
  const { call, controlPlane } = await arrive();
  controlPlane.outage = () => "refused";
  const answer = await call("/v1/videos");
  expect([answer.status, ErrorEnvelope.parse(await answer.json()).error.code]).toEqual([
    503,
    "control_plane_unavailable",
  ]);
  expect(Number(answer.headers.get("retry-after"))).toBeGreaterThan(0);
  controlPlane.outage = () => "none";
  await scheduler.wait(1_000);
  expect((await call("/v1/videos")).status).toBe(200);
});

test("a webhook endpoint whose answer was lost is not created twice", async () => {
  vi.spyOn(console, "warn").mockReturnValue();
  const { call, controlPlane } = await arrive();
  let asked = 0;
  controlPlane.outage = (_host, path) => (path === "/edge/v1/webhook_endpoints" && ++asked > 0 ? "refused" : "none");
  const headers = { "content-type": "application/json" };
  const answer = await call("/v1/webhook_endpoints", { method: "POST", headers, body: '{"url":"https://x.test"}' });
  expect([answer.status, asked]).toEqual([503, 1]);
});

test("an answer that is not ours becomes an error of ours", async () => {
  const warned = vi.spyOn(console, "warn").mockReturnValue();
  const { call, controlPlane } = await arrive();
  controlPlane.outage = (_host, path) => (path === "/edge/v1/videos" ? "broken" : "none");
  const answer = await call("/v1/videos");
  expect([answer.status, ErrorEnvelope.parse(await answer.json()).error.code]).toEqual([
    503,
    "control_plane_unavailable",
  ]);
  expect(warned.mock.calls.filter(([line]) => String(line).includes("without an envelope"))).toHaveLength(1);
});

test("an unexpected fault is a 500 that tells nothing of our insides", async () => {
  const warned = vi.spyOn(console, "warn").mockReturnValue();
  const { call, controlPlane } = await arrive();
  controlPlane.limits = { ...TIER, creates_per_minute: -1, creates_burst: 1 };
  const answer = await call(`/v1/videos/${VIDEO_ID}`);
  const text = await answer.text();
  expect(answer.status).toBe(500);
  expect(ErrorEnvelope.parse(JSON.parse(text)).error.code).toBe("internal_error");
  expect(text).not.toContain("creates_per_minute");
  expect(warned).toHaveBeenCalled();
});
