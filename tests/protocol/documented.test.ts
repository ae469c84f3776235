/** The conformance suite holds every answer against the OpenAPI document: here, that it would notice. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { undocumentedIn } from "#tests/conformance/documented.ts";
import { SUITE } from "#tests/conformance/suite.ts";
import type { Exchange } from "#tests/support/recording-proxy.ts";

const JSON_HEADERS = { "content-type": "application/json", "x-request-id": "req_1" };
const DELETED: Exchange = {
  method: "DELETE",
  path: `/v1/videos/video_${"0".repeat(32)}`,
  sent: {},
  status: 200,
  headers: JSON_HEADERS,
  body: { id: `video_${"0".repeat(32)}`, object: "video.deleted", deleted: true },
  injected: false,
};

function refused(status: number, code: string): Partial<Exchange> {
  return { status, body: { error: { message: "no", type: "invalid_request_error", param: null, code } } };
}

function textOf(path: string): string {
  return readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");
}

test("an answer as the document has it is no fault, with or without a query", () => {
  expect(undocumentedIn([DELETED, { ...DELETED, ...refused(404, "video_not_found") }])).toEqual([]);
  const list = { object: "list", data: [], first_id: null, last_id: null, has_more: false };
  expect(undocumentedIn([{ ...DELETED, method: "GET", path: "/v1/videos?limit=3", body: list }])).toEqual([]);
});

test.each([
  ["a field that is not in the schema", { body: { ...(DELETED.body as object), why: "x" } }, /why/],
  ["a field that is missing", { body: { id: "video_1", object: "video.deleted" } }, /deleted/],
  ["a status that is not planned", refused(418, "not_found"), /418: the status is not documented/],
  ["a code that belongs to another status", refused(404, "invalid_value"), /'invalid_value' is not documented/],
  ["another media type", { headers: { ...JSON_HEADERS, "content-type": "text/html" } }, /text\/html/],
  ["no request id", { headers: { "content-type": "application/json" } }, /no x-request-id/],
  ["a route that is not there", { path: "/v1/secret" }, /no such operation/],
  ["another path's answer", { path: "/v1/videos/edits", method: "POST" }, /200: the status is not documented/],
])("%s is noticed", (_what, change, fault) => {
  expect(undocumentedIn([{ ...DELETED, ...change }]).join("\n")).toMatch(fault);
});

test("a fault of the test's own is not held against the product", () => {
  expect(undocumentedIn([{ ...DELETED, status: 418, injected: true }])).toEqual([]);
});

test("docs/conformance.md reports on every line with the SDKs that are pinned; if not, npm run conformance -- --python --write", () => {
  const report = textOf("docs/conformance.md").replaceAll("\\", "");
  const packages = JSON.parse(textOf("package.json")) as { devDependencies: Record<string, string> };
  const python = /openai==(\S+)/.exec(textOf("tests/python/requirements.txt"))?.[1];
  const lines = [...textOf("tests/python/sdk.py").matchAll(/^(?:@line\(|    )"[\w. ,]+",\s+"([^"]+)"/gm)];
  expect(lines.length).toBeGreaterThan(20);
  const expected = [
    `openai ${packages.devDependencies["openai"]} (npm)`,
    `openai ${python} (PyPI)`,
    ...SUITE.map(({ title }) => title),
    ...lines.map(([, title = ""]) => title),
  ];
  expect(expected.filter((text) => !report.includes(text))).toEqual([]);
});
