import { expect, test } from "vitest";
import { CREATE_BODY_BYTES_MAX } from "#protocol/create-video.ts";
import { ErrorEnvelope } from "#protocol/error.ts";
import { arrive } from "./customer.ts";

const PNG = new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 0]);

async function refusal(answer: Response) {
  return { status: answer.status, ...ErrorEnvelope.parse(await answer.json()).error };
}

test.each([
  ["an empty prompt", { prompt: "" }, "invalid_value", "prompt"],
  ["a blank prompt", { prompt: " \n" }, "invalid_value", "prompt"],
  ["no prompt", {}, "invalid_value", "prompt"],
  ["a prompt of 40,000 characters", { prompt: "x".repeat(40_000) }, "invalid_value", "prompt"],
  ["a prompt that is a number", { prompt: 5 }, "invalid_value", "prompt"],
  ["a size that is none", { prompt: "a", size: "huge" }, "invalid_value", "size"],
  ["seconds that are no number", { prompt: "a", seconds: "abc" }, "invalid_value", "seconds"],
  ["half seconds", { prompt: "a", seconds: 1.5 }, "invalid_value", "seconds"],
  ["a negative seed", { prompt: "a", seed: -1 }, "invalid_value", "seed"],
  ["a size and a resolution", { prompt: "a", size: "320x192", resolution: "480p" }, "invalid_value", "resolution"],
  ["an aspect ratio alone", { prompt: "a", aspect_ratio: "1:1" }, "invalid_value", "aspect_ratio"],
  ["a typo in a name", { prompt: "a", secnds: 4 }, "unknown_parameter", "secnds"],
  ["metadata that is no text", { prompt: "a", metadata: { a: 1 } }, "invalid_value", "metadata.a"],
  [
    "an uploaded file's id",
    { prompt: "a", input_reference: { file_id: "f" } },
    "unsupported_operation",
    "input_reference.file_id",
  ],
  [
    "a web address",
    { prompt: "a", input_reference: { image_url: "https://x.test/a.png" } },
    "unsupported_operation",
    "input_reference.image_url",
  ],
  [
    "a data URL that is no image",
    { prompt: "a", input_reference: { image_url: "data:image/png;base64,AAAA" } },
    "invalid_value",
    "input_reference.image_url",
  ],
  ["a reference that is text", { prompt: "a", input_reference: "x" }, "invalid_value", "input_reference"],
  ["a list as the body", [1], "invalid_body", null],
  ["broken JSON", '{"prompt":', "invalid_body", null],
  ["JSON that nests 33 deep", `${"[".repeat(33)}${"]".repeat(33)}`, "invalid_body", null],
  ["JSON of 10 MB", { prompt: "x".repeat(10 * 1024 * 1024) }, "invalid_value", "prompt"],
])("%s is refused by its name and nothing is stored", async (_what, body, code, param) => {
  const { create, controlPlane } = await arrive();
  const answer = await create(body);
  expect(answer.headers.get("x-request-id")).toMatch(/^req_[0-9a-f]{32}$/);
  expect(await refusal(answer)).toMatchObject({ status: 400, code, param, type: "invalid_request_error" });
  expect(controlPlane.calls("POST", "/edge/v1/videos")).toEqual([]);
});

function form(...fields: readonly (readonly [string, string | File])[]): FormData {
  const data = new FormData();
  for (const [name, value] of fields) data.append(name, value);
  return data;
}

test.each([
  ["seconds that are no number", form(["prompt", "a"], ["seconds", "abc"]), "invalid_value", "seconds"],
  ["a field given twice", form(["prompt", "a"], ["prompt", "b"]), "invalid_value", "prompt"],
  [
    "a field as value and as object",
    form(["prompt", "a"], ["metadata", "b"], ["metadata[a]", "b"]),
    "invalid_value",
    "metadata[a]",
  ],
  ["a list", form(["prompt", "a"], ["tags[]", "b"]), "invalid_value", "tags[]"],
  ["a prompt that is a file", form(["prompt", new File(["a"], "a")]), "invalid_value", "prompt"],
  ["long metadata", form(["prompt", "a"], ["metadata[x]", "y".repeat(600)]), "invalid_value", "metadata[x]"],
  [
    "an uploaded file's id",
    form(["prompt", "a"], ["input_reference[file_id]", "f"]),
    "unsupported_operation",
    "input_reference[file_id]",
  ],
  [
    "a web address",
    form(["prompt", "a"], ["input_reference[image_url]", "http://x.test"]),
    "unsupported_operation",
    "input_reference[image_url]",
  ],
  [
    "a file that is no image",
    form(["prompt", "a"], ["input_reference", new File(["text"], "a.png")]),
    "invalid_value",
    "input_reference",
  ],
  [
    "an empty file",
    form(["prompt", "a"], ["input_reference", new File([], "a.png")]),
    "invalid_value",
    "input_reference",
  ],
  ["65 fields", form(...Array.from({ length: 65 }, (_, i) => [`f${i}`, "x"] as const)), "invalid_body", null],
])("a form with %s is refused by its name as the client wrote it", async (_what, body, code, param) => {
  const { call } = await arrive();
  const answer = await call("/v1/videos", { method: "POST", body });
  expect(await refusal(answer)).toMatchObject({ status: 400, code, param });
});

test.each([
  [
    "a truncated multipart body",
    "multipart/form-data; boundary=x",
    "--x\r\nContent-Disposition: form",
    400,
    "invalid_body",
  ],
  ["multipart without a boundary", "multipart/form-data", "prompt=a", 400, "invalid_body"],
  ["a urlencoded form", "application/x-www-form-urlencoded", "prompt=a", 415, "unsupported_media_type"],
  ["plain text", "text/plain", "a", 415, "unsupported_media_type"],
  ["bytes that are no UTF-8", "application/json", new Uint8Array([0x22, 0xff, 0x22]), 400, "invalid_body"],
])("%s is a 4xx", async (_what, type, body, status, code) => {
  const { call } = await arrive();
  const answer = await call("/v1/videos", { method: "POST", headers: { "content-type": type }, body });
  expect(await refusal(answer)).toMatchObject({ status, code });
});

test("a body over the limit is refused while it is read, also without a content-length", async () => {
  const { call } = await arrive();
  const chunk = new Uint8Array(1024 * 1024).fill(0x20);
  let sent = 0;
  const body = new ReadableStream({
    pull(controller) {
      sent += chunk.length;
      if (sent > CREATE_BODY_BYTES_MAX + 2 * chunk.length) controller.close();
      else controller.enqueue(chunk);
    },
  });
  const headers = { "content-type": "application/json" };
  const answer = await call("/v1/videos", { method: "POST", headers, body });
  expect(await refusal(answer)).toMatchObject({ status: 413, code: "file_too_large" });
});

test("an image arrives as base64 with its true type, from a file or a data URL", async () => {
  const { call, create, controlPlane } = await arrive();
  const body = form(
    ["prompt", "a"],
    ["metadata[a]", "b"],
    ["seconds", "4"],
    ["input_reference", new File([PNG], "a.jpg", { type: "image/jpeg" })],
  );
  expect((await call("/v1/videos", { method: "POST", body })).status).toBe(200);
  const url = `data:image/webp;base64,${PNG.toBase64()}`;
  expect(
    (await create({ prompt: "a", seconds: 4, metadata: { a: "b" }, input_reference: { image_url: url } })).status,
  ).toBe(200);
  const video = {
    prompt: "a",
    seconds: 4,
    metadata: { a: "b" },
    input_reference: { media_type: "image/png", data: PNG.toBase64() },
  };
  expect(controlPlane.calls("POST", "/edge/v1/videos").map((sent) => sent.body)).toMatchObject([{ video }, { video }]);
});

test("a 15 MB image passes", async () => {
  const { call, controlPlane } = await arrive();
  const image = new Uint8Array(15_000_000);
  image.set(PNG);
  const body = form(["prompt", "a"], ["input_reference", new File([image], "a.png")]);
  expect((await call("/v1/videos", { method: "POST", body })).status).toBe(200);
  expect(controlPlane.calls("POST", "/edge/v1/videos")).toHaveLength(1);
});

test.each([
  ["POST", "/v1/videos/edits", 400, "unsupported_operation"],
  ["POST", "/v1/videos/extensions", 400, "unsupported_operation"],
  ["POST", "/v1/videos/characters", 400, "unsupported_operation"],
  ["GET", "/v1/videos/characters/char_1", 400, "unsupported_operation"],
  ["GET", "/v1/videos/edits", 405, "method_not_allowed"],
  ["GET", "/v1/videos/video_1/remix", 405, "method_not_allowed"],
  ["POST", "/v1/videos/video_1/remix", 415, "unsupported_media_type"],
  ["GET", "/v1/videos/video_1/promote", 405, "method_not_allowed"],
  ["POST", "/v1/videos/video_1/promote", 404, "video_not_found"],
  ["GET", "/v1/videos/video_1/content?variant=spritesheet", 400, "unsupported_operation"],
  ["GET", "/v1/videos/video_1/content?variant=gif", 400, "invalid_value"],
  ["GET", "/v1/videos/events", 426, "upgrade_required"],
  ["GET", "/v1/videos?limit=101", 400, "invalid_value"],
  ["GET", "/v1/videos?order=up", 400, "invalid_value"],
  ["GET", "/v1/videos/a%2Fb", 404, "video_not_found"],
  ["GET", "/v1/videos/%ff", 404, "video_not_found"],
  ["DELETE", "/v1/webhook_endpoints/we_1", 404, "not_found"],
  ["PATCH", "/v1/videos", 405, "method_not_allowed"],
  ["PUT", "/v1/videos/video_1", 405, "method_not_allowed"],
  ["GET", "/v1/videos/video_1/cancel", 405, "method_not_allowed"],
  ["POST", "/healthz", 405, "method_not_allowed"],
  ["GET", "/v1/nothing", 404, "not_found"],
  ["GET", "/", 404, "not_found"],
])("%s %s is answered %i %s", async (method, path, status, code) => {
  const { call } = await arrive();
  const answer = await call(path, { method });
  expect(answer.headers.get("x-request-id")).toMatch(/^req_/);
  expect(await refusal(answer)).toMatchObject({ status, code });
});

test("a webhook endpoint needs a web address", async () => {
  const { call } = await arrive();
  const headers = { "content-type": "application/json" };
  const answer = await call("/v1/webhook_endpoints", { method: "POST", headers, body: '{"url":"ftp://x"}' });
  expect(await refusal(answer)).toMatchObject({ status: 400, code: "invalid_value", param: "url" });
});
