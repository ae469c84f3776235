/** The headers of every kind of answer, whole: a new one, or one that is gone, is seen here. */
import { expect, test } from "vitest";
import { readConfig } from "#edge/env.ts";
import { setStrictHeaders } from "#edge/strict-headers.ts";
import { arrive } from "./customer.ts";
import { video, VIDEO_ID } from "./sample.ts";

const STRICT = {
  "cache-control": "no-store",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "x-request-id": expect.stringMatching(/^req_[0-9a-f]{32}$/) as string,
} as const;
const JSON_TYPE = { "content-type": "application/json" } as const;

function headersOf(answer: Response): Record<string, string> {
  return Object.fromEntries(
    [...answer.headers].filter(([name]) => !/^x-ratelimit|^ratelimit|^content-length$/.test(name)),
  );
}

test("an answer of the API", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video({}));
  expect(headersOf(await call(`/v1/videos/${VIDEO_ID}`))).toEqual({
    ...STRICT,
    ...JSON_TYPE,
    etag: expect.stringMatching(/^"[0-9a-f]{32}"$/) as string,
    "openai-poll-after-ms": "1000",
  });
});

test("refusals of every kind, and a path that is none", async () => {
  const { call } = await arrive();
  for (const [path, init, more] of [
    ["/v1/videos", { headers: { authorization: "Bearer nobody" } }, {}],
    ["/v1/videos/video_1", {}, {}],
    ["/nothing", {}, {}],
    ["/v1/videos/edits", { method: "POST" }, {}],
    ["/healthz", { method: "POST" }, { allow: "GET" }],
    ["/internal/v1/push", { method: "POST", body: "{}" }, {}],
  ] as const) {
    const answer = await call(path, init);
    expect(answer.status).toBeGreaterThanOrEqual(400);
    expect([path, headersOf(answer)]).toEqual([path, { ...STRICT, ...JSON_TYPE, ...more }]);
  }
});

test("a fault of ours: the same headers, and nothing of our insides", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.outage = (_host, path) => (path.includes("keys/check") ? "none" : "broken");
  const answer = await call("/v1/videos");
  expect(answer.status).toBeGreaterThanOrEqual(500);
  const { "retry-after": _, "x-should-retry": __, ...rest } = headersOf(answer);
  expect(rest).toEqual({ ...STRICT, ...JSON_TYPE });
  expect(await answer.text()).not.toMatch(/\bat |Error|\.ts|Bad gateway/);
});

test("an MP4 is sent as a download of that type and no other", async () => {
  const { call, controlPlane } = await arrive();
  controlPlane.videos.set(VIDEO_ID, video({ status: "completed", progress: 100 }));
  const answer = await call(`/v1/videos/${VIDEO_ID}/content`);
  expect(answer.status).toBe(200);
  expect(headersOf(answer)).toMatchObject({ ...STRICT, "content-type": "video/mp4" });
});

test("outside development browsers are told to come back by HTTPS only, and what may be kept says so itself", () => {
  const headers = new Headers({ "cache-control": "no-cache" });
  setStrictHeaders(headers, "production");
  expect(headers.get("strict-transport-security")).toBe("max-age=31536000; includeSubDomains");
  expect(headers.get("cache-control")).toBe("no-cache");
});

const GOOD = {
  CONTROL_PLANE_URLS: "https://control-plane.example.com",
  EDGE_SIGNING_SECRET: "k7Qw3Zr9Tn2Lp5Vx8Yb1McHd4Sf6Gj0K",
  CALLSHEET_ENV: "production",
};

test.each([
  ["short", "k7Qw3Zr9Tn2Lp5Vx8Yb1"],
  ["repeated", "ab".repeat(20)],
  ["of the tests", "only-for-tests-0123456789abcdef0123456789abcdef"],
  ["the same twice", `${GOOD.EDGE_SIGNING_SECRET},${GOOD.EDGE_SIGNING_SECRET}`],
])("the edge does not work in production with a secret that is %s, and does not show it", (_what, secret) => {
  expect(readConfig(GOOD)).toMatchObject({ signingSecret: GOOD.EDGE_SIGNING_SECRET });
  const read = () => readConfig({ ...GOOD, EDGE_SIGNING_SECRET: secret, CONTROL_PLANE_URLS: "nowhere" });
  expect(read).toThrow(/CONTROL_PLANE_URLS.*EDGE_SIGNING_SECRET/);
  expect(read).not.toThrow(secret);
});

test("two secrets are read as the one that signs and the one before it", () => {
  const old = GOOD.EDGE_SIGNING_SECRET.split("").reverse().join("");
  const config = readConfig({ ...GOOD, EDGE_SIGNING_SECRET: `${GOOD.EDGE_SIGNING_SECRET},${old}` });
  expect(config.signingSecrets).toEqual([GOOD.EDGE_SIGNING_SECRET, old]);
  expect(config.signingSecret).toBe(GOOD.EDGE_SIGNING_SECRET);
});
