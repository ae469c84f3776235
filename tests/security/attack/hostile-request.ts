/**
 * Requests that nobody should send, as bytes: valid ones from the API's own schemas, ones a step away, and noise; sent with
 * hostile headers, paths, encodings and framing. The same seed makes the same requests.
 */
import { gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { CreateVideo } from "#protocol/create-video.ts";
import { OPERATIONS } from "#protocol/openapi.ts";
import { CreateWebhookEndpoint, ReplayWebhooks, RotateSecret, UpdateWebhookEndpoint } from "#protocol/webhook.ts";
import { z } from "zod";
import { hostileNumber, hostileText } from "./hostile-text.ts";
import { allowedBy, nearly } from "./schema-arbitrary.ts";

export type Listener = "edge" | "control-plane" | "admin";
/** How a body is announced; all but the first two are lies or breaches. */
export type Framing =
  | "length"
  | "chunked"
  | "short"
  | "long"
  | "both"
  | "bad_chunk"
  | "unfinished"
  | "twice"
  | "negative";

export interface HostileRequest {
  readonly to: Listener;
  readonly method: string;
  readonly path: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer | null;
  readonly framing: Framing;
}

/** What an attacker has in hand: keys that are good, and things of his own and of others. */
export interface Loot {
  readonly apiKeys: readonly string[];
  readonly ids: Readonly<Record<"video" | "endpoint" | "delivery", readonly string[]>>;
}

const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "PROPFIND"] as const;
const BODIES = [CreateVideo, CreateWebhookEndpoint, UpdateWebhookEndpoint, RotateSecret, ReplayWebhooks].map((schema) =>
  z.toJSONSchema(schema, { io: "input" }),
);
const INNER_PATHS = [
  "/internal/v1/push",
  "/edge/v1/videos",
  "/edge/v1/keys/check",
  "/edge/v1/subscription",
  "/edge/v1/events?after=0",
  "/peer/v1/explain",
  "/store/v1/references/x",
  "/runner/v1",
  "/admin/v1/accounts",
  "/admin/v1/journal.csv",
  "/metrics",
  "/livez",
  "/readyz",
  "/healthz",
  "/",
  "*",
  "//",
  "//[",
  "/v1/../admin/v1/accounts",
  "/v1/videos/..%2f..%2fadmin",
] as const;

export function hostileRequests(loot: Loot): fc.Arbitrary<HostileRequest> {
  return fc
    .record({
      to: fc.constantFrom<Listener>(...Array<Listener>(8).fill("edge"), "control-plane", "admin"),
      route: routes(loot),
      method: fc.option(fc.constantFrom(...METHODS), { freq: 5, nil: null }),
      authorization: authorizations(loot),
      extra: fc.array(hostileHeader, { maxLength: 4 }),
      payload: payloads,
      framing: framings,
    })
    .map(({ to, route, method, authorization, extra, payload, framing }) => {
      const verb = method ?? route.method;
      const bare = (verb === "GET" || verb === "HEAD") && framing === "length";
      return {
        to,
        method: verb,
        path: route.path,
        headers: [...authorization, ...(bare ? [] : payload.headers), ...extra],
        body: bare ? null : payload.body,
        framing,
      };
    });
}

const framings: fc.Arbitrary<Framing> = fc.oneof(
  { weight: 24, arbitrary: fc.constant<Framing>("length") },
  { weight: 4, arbitrary: fc.constant<Framing>("chunked") },
  {
    weight: 4,
    arbitrary: fc.constantFrom<Framing>("short", "long", "both", "bad_chunk", "unfinished", "twice", "negative"),
  },
);

function routes({ ids }: Loot): fc.Arbitrary<{ readonly method: string; readonly path: string }> {
  const documented = Object.entries(OPERATIONS).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { query = [] }]) => ({ method: method.toUpperCase(), path, query })),
  );
  // Made once each: an arbitrary is far dearer than what it draws.
  const named = documented.map(({ method, path, query }) => {
    const kind = path.includes("deliver") ? "delivery" : path.includes("endpoint") ? "endpoint" : "video";
    const id = fc.oneof(
      fc.constantFrom(...ids[kind]),
      hostileText.map(encoded),
      fc.constant(`${kind}_${"0".repeat(32)}`),
    );
    const values = fc.oneof(
      fc.constantFrom(...ids[kind]),
      hostileText,
      hostileNumber.map(String),
      fc.constantFrom("asc", "20"),
    );
    const names = fc.oneof(fc.constantFrom("limit", "after", "order", ...query.map(({ name }) => name)), hostileText);
    return fc.tuple(id, fc.array(fc.tuple(names, values), { maxLength: 3 })).map(([one, pairs]) => {
      const search = pairs.map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join("&");
      return { method, path: path.replace("{id}", one) + (search === "" ? "" : `?${search}`) };
    });
  });
  const stray = fc
    .oneof(
      fc.constantFrom(...INNER_PATHS),
      hostileText.map((text) => `/${encoded(text)}`),
      hostileText.map((text) => `/v1/${encoded(text)}`),
    )
    .map((path) => ({ method: "GET", path }));
  return fc.oneof({ weight: 5, arbitrary: fc.oneof(...named) }, { weight: 1, arbitrary: stray });
}

/** For a request line: no blanks and no ends of line, and otherwise as broken as it was. */
function encoded(text: string): string {
  return Array.from(Buffer.from(text, "utf8"), (byte) =>
    byte <= 0x20 || byte === 0x23 || byte >= 0x7f
      ? `%${byte.toString(16).padStart(2, "0")}`
      : String.fromCharCode(byte),
  ).join("");
}

function authorizations({ apiKeys }: Loot): fc.Arbitrary<[string, string][]> {
  const good = fc.constantFrom(...apiKeys).map((key): [string, string][] => [["authorization", `Bearer ${key}`]]);
  const bad = fc
    .oneof(
      fc.constantFrom(...apiKeys).map((key) => `Bearer ${key.slice(0, -1)}`),
      fc.constantFrom(...apiKeys).map((key) => `Basic ${key}`),
      fc.constantFrom("", "Bearer", "Bearer  ", `Bearer ${"x".repeat(8_000)}`, "bearer cs_dev___"),
      latin(hostileText),
    )
    .map((value): [string, string][] => [["authorization", value]]);
  return fc.oneof(
    { weight: 8, arbitrary: good },
    { weight: 2, arbitrary: bad },
    { weight: 1, arbitrary: fc.constant<[string, string][]>([]) },
  );
}

/** What a header line can carry at all; what else is in it is tried over a raw socket by its framing. */
function latin(text: fc.Arbitrary<string>): fc.Arbitrary<string> {
  return text.map((value) =>
    value
      .slice(0, 4_000)
      .replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, "?")
      .trim(),
  );
}

const hostileHeader: fc.Arbitrary<[string, string]> = fc.oneof(
  fc.tuple(
    fc.constantFrom(
      "x-request-id",
      "x-forwarded-for",
      "x-real-ip",
      "cf-connecting-ip",
      "x-http-method-override",
      "x-callsheet-account",
      "x-callsheet-signature",
      "x-callsheet-timestamp",
      "x-callsheet-open",
      "x-stainless-retry-count",
      "idempotency-key",
      "last-event-id",
      "prefer",
      "range",
      "if-range",
      "if-none-match",
      "accept",
      "accept-encoding",
      "cookie",
      "origin",
      "referer",
      "content-encoding",
      "sec-websocket-protocol",
      "forwarded",
    ),
    latin(hostileText),
  ),
  fc.tuple(
    fc.constant("range"),
    fc.constantFrom("bytes=0-", "bytes=-0", "bytes=9-1", "bytes=0-0,1-1", `bytes=${"9".repeat(400)}-`),
  ),
  fc.constantFrom<[string, string]>(
    ["upgrade", "websocket"],
    ["expect", "100-continue"],
    ["connection", "close, authorization"],
    ["content-encoding", "gzip"],
    ["accept-encoding", "gzip;q=nope, *;q=0"],
    ["x-many", "y".repeat(7_000)],
  ),
);

interface Payload {
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Buffer;
}

const asJson = (text: string | Buffer, type = "application/json"): Payload => ({
  headers: [["content-type", type]],
  body: Buffer.from(text),
});

const json: fc.Arbitrary<Payload> = fc
  .oneof(...BODIES.flatMap((schema) => [allowedBy(schema), nearly(schema)]))
  .map((value) => asJson(JSON.stringify(value)));

const brokenJson: fc.Arbitrary<Payload> = fc.oneof(
  fc.jsonValue({ maxDepth: 6 }).map((value) => asJson(JSON.stringify(value))),
  fc.tuple(json, fc.nat()).map(([{ body }, at]) => asJson(body.subarray(0, at % (body.length + 1)))),
  fc.constantFrom(...[33, 1_000, 30_000].map((depth) => asJson("[".repeat(depth) + "]".repeat(depth)))),
  fc.constantFrom(...[33, 5_000].map((depth) => asJson('{"prompt":'.repeat(depth) + "1" + "}".repeat(depth)))),
  fc.constant(asJson('{"prompt":"a","prompt":"b","__proto__":{"x":1},"constructor":{"prototype":{}}}')),
  fc.constant(asJson(`{${Array.from({ length: 20_000 }, (_, n) => `"k${n}":${n}`).join(",")}}`)),
  fc.uint8Array({ maxLength: 300 }).map((bytes) => asJson(Buffer.from(bytes))),
  hostileText.map((text) => asJson(JSON.stringify({ prompt: text, metadata: { [text.slice(0, 64)]: text } }))),
  hostileText.map((text) => asJson(text)),
  fc.constant(asJson(Buffer.from([0xef, 0xbb, 0xbf, 0x7b, 0x7d]))),
  json.map(({ body }) => asJson(gzipSync(body))),
  fc
    .tuple(
      json,
      fc.constantFrom("text/json", "application/json; charset=utf-16", 'application/json;x="', "APPLICATION/JSON", ""),
    )
    .map(([{ body }, type]) => asJson(body, type)),
);

const part = (head: string, value: string | Uint8Array) =>
  Buffer.concat([Buffer.from(`--b\r\n${head}\r\n\r\n`), Buffer.from(value as string), Buffer.from("\r\n")]);
const field = (name: string, value: string) =>
  part(`content-disposition: form-data; name="${name.replaceAll(/["\r\n]/g, "_")}"`, value);

const form: fc.Arbitrary<Payload> = fc
  .tuple(
    fc.array(
      fc.oneof(
        fc
          .tuple(fc.constantFrom("prompt", "size", "seconds", "metadata[a]", "seed", "input_reference"), hostileText)
          .map(([name, value]) => field(name, value)),
        fc.tuple(hostileText, hostileText).map(([name, value]) => field(name.slice(0, 200), value)),
        fc.constant(field("prompt", "a cat")),
        fc
          .uint8Array({ maxLength: 200 })
          .map((bytes) =>
            part(
              'content-disposition: form-data; name="input_reference"; filename="../../a.png"\r\ncontent-type: image/png',
              bytes,
            ),
          ),
        hostileText.map((text) => part(text.replaceAll(/[\r\n]+/g, " ").slice(0, 300), "x")),
        fc.constant(
          part(
            'content-disposition: form-data; name="a"\r\ncontent-type: multipart/mixed; boundary=c',
            "--c\r\n\r\n--c--",
          ),
        ),
      ),
      { maxLength: 8 },
    ),
    fc.constantFrom("--b--\r\n", "--b--", "--b", "", "--b\r\n\r\n\r\n--b--"),
    fc.constantFrom("b", "b", "b", "b", "c", "", '"b', "b".repeat(200)),
  )
  .map(([parts, end, boundary]) => ({
    headers: [["content-type", `multipart/form-data; boundary=${boundary}`]] as const,
    body: Buffer.concat([...parts, Buffer.from(end)]),
  }));

const manyFields: fc.Arbitrary<Payload> = fc.constantFrom(
  ...[65, 3_000].map((count) => ({
    headers: [["content-type", "multipart/form-data; boundary=b"]] as const,
    body: Buffer.concat([...Array.from({ length: count }, (_, n) => field(`f${n}`, "x")), Buffer.from("--b--\r\n")]),
  })),
);

const payloads: fc.Arbitrary<Payload> = fc.oneof(
  { weight: 10, arbitrary: json },
  { weight: 6, arbitrary: brokenJson },
  { weight: 5, arbitrary: form },
  { weight: 1, arbitrary: manyFields },
);
