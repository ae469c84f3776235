/** Every parser that meets hostile bytes, each with a law that holds for whatever it is given. */
import * as fc from "fast-check";
import { z } from "zod";
import { isPublicAddress, PUBLIC_ONLY, urlFault } from "#control-plane/egress/address-guard.ts";
import { byteRange } from "#control-plane/http/byte-range.ts";
import { objectOfForm } from "#edge/core/form.ts";
import { imageType } from "#edge/core/image-type.ts";
import { JSON_DEPTH_MAX, JSON_VALUES_MAX, jsonShape } from "#edge/core/json-shape.ts";
import { readInputReference } from "#edge/input-reference.ts";
import { readClientFrame } from "#edge/session/client-frame.ts";
import { accountOfKey, mintKey } from "#protocol/api-key.ts";
import { CreateVideo } from "#protocol/create-video.ts";
import { SubscribeFrame } from "#protocol/live-session.ts";
import { AccountId, RequestId } from "#protocol/id.ts";
import { FromRunner } from "#protocol/runner.ts";
import { SIGNED_HEADERS, signCall, verifyCall } from "#protocol/signed-call.ts";
import { isStorable } from "#protocol/text.ts";
import { CreateWebhookEndpoint } from "#protocol/webhook.ts";
import { hostileText } from "./hostile-text.ts";
import { innerAddress, innerV4, outerV4, spelled } from "./inner-address.ts";
import { allowedBy, nearly } from "./schema-arbitrary.ts";

/** `cost`: how many plain cases one of its takes the time of. */
export interface ParserLaw {
  readonly name: string;
  readonly cost: number;
  readonly law: fc.IRawProperty<unknown>;
}

const ACCOUNT = AccountId.parse("acct_0123456789abcdef");
const CALL = {
  method: "POST",
  url: new URL("http://inside/edge/v1/videos?a=1&b=2"),
  body: new Uint8Array(new TextEncoder().encode('{"a":1}')),
  account: ACCOUNT,
  requestId: RequestId.parse(`req_${"0".repeat(32)}`),
};
const SECRET = "a secret of both ends, long enough";
const NOW = 1_800_000_000_000;

const secretBytes = fc.uint8Array({ minLength: 60, maxLength: 60, max: 247 });
const anyText = fc.oneof(hostileText, fc.string({ unit: "binary" }), fc.string());

function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

const key = fc.property(secretBytes, fc.nat(), anyText, (bytes, at, noise) => {
  const good = mintKey("live", ACCOUNT, bytes);
  must(accountOfKey(good) === ACCOUNT, "a minted key names its account");
  const place = at % good.length;
  const changed = good.slice(0, place) + noise + good.slice(place + 1);
  const read = accountOfKey(changed);
  must(read === null || changed === good, "no other text does");
});

const signature = fc.asyncProperty(
  fc.constantFrom("method", "path", "query", "body", ...Object.values(SIGNED_HEADERS)),
  anyText,
  async (part, noise) => {
    const headers = new Headers(await signCall(CALL, SECRET, NOW));
    const url = new URL(CALL.url);
    let { method, body } = CALL;
    const header = noise.replaceAll(/[^\x20-\x7e]/g, "?").trim();
    if (part === "method") method = header;
    else if (part === "path") url.pathname = noise;
    else if (part === "query") url.search = noise;
    else if (part === "body") body = new Uint8Array(new TextEncoder().encode(noise));
    else headers.set(part, header);
    const same =
      part === "path"
        ? url.pathname === CALL.url.pathname
        : part === "query" && url.searchParams.toString() === "a=1&b=2";
    const { ok } = await verifyCall({ method, url, headers, body }, [SECRET], NOW);
    must(!ok || same || header === "POST" || noise === '{"a":1}', `a call with another ${part} is refused`);
  },
);

const shape = fc.property(fc.oneof(fc.json({ maxDepth: 50, stringUnit: "binary" }), anyText), (text) => {
  const { depth, values } = jsonShape(text);
  must(depth <= JSON_DEPTH_MAX + 1 && values <= JSON_VALUES_MAX + 1, "it stops at its bounds");
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return; // Not JSON: nothing to compare with.
  }
  if (depth <= JSON_DEPTH_MAX && values <= JSON_VALUES_MAX) must(depthOf(parsed) === depth, "it is as deep as it is");
});

function depthOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  return 1 + Math.max(0, ...Object.values(value).map(depthOf));
}

const form = fc.property(
  fc.array(
    fc.tuple(fc.oneof(anyText, fc.constantFrom("a", "a[b]", "__proto__", "__proto__[x]", "a[__proto__]")), anyText),
    { maxLength: 70 },
  ),
  (fields) => {
    const read = objectOfForm(fields);
    must(!Object.hasOwn(Object.prototype, "x"), "no field reaches a prototype");
    if (!read.ok) return;
    must(fields.length <= 64, "no more fields than allowed");
    must(Object.getPrototypeOf(read.value) === Object.prototype, "it is a plain object");
  },
);

const range = fc.property(
  fc.option(
    fc.oneof(
      anyText,
      fc.tuple(fc.bigInt(), fc.bigInt()).map(([a, b]) => `bytes=${a}-${b}`),
      fc.tuple(fc.nat(), fc.nat()).map(([a, b]) => `bytes=${a}-${b}`),
    ),
    { nil: null },
  ),
  fc.integer({ min: 1, max: 2 ** 40 }),
  (header, length) => {
    const read = byteRange(header, length);
    if (read.kind !== "part") return;
    const whole = Number.isSafeInteger(read.start) && Number.isSafeInteger(read.end);
    must(whole && 0 <= read.start && read.start <= read.end && read.end < length, "a part lies in the whole");
  },
);

const frames = z.toJSONSchema(FromRunner, { io: "input" });
const frame = fc.property(fc.oneof(allowedBy(frames), nearly(frames), fc.jsonValue()), (value) => {
  const read = FromRunner.safeParse(JSON.parse(JSON.stringify(value) ?? "null"));
  if (!read.success) return;
  must(FromRunner.safeParse(JSON.parse(JSON.stringify(read.data))).success, "what was taken is taken again");
  const numbers = JSON.stringify(read.data).match(/"epoch":(-?\d+)/g) ?? [];
  must(
    numbers.every((text) => Number(text.slice(8)) > 0 && Number(text.slice(8)) < 2 ** 31),
    "an epoch fits its column",
  );
});

const clientFrames = z.toJSONSchema(SubscribeFrame, { io: "input" });
const clientFrame = fc.property(
  fc.oneof(
    anyText,
    fc.oneof(allowedBy(clientFrames), nearly(clientFrames), fc.jsonValue()).map((value) => JSON.stringify(value) ?? ""),
    fc.uint8Array().map((bytes) => bytes.buffer),
  ),
  (message) => {
    const read = readClientFrame(message);
    must(read === null || (read.type === "subscribe" && (read.video_ids ?? []).length <= 100), "a frame or nothing");
  },
);

const creates = z.toJSONSchema(CreateVideo, { io: "input" });
const create = fc.property(fc.oneof(allowedBy(creates), nearly(creates), fc.jsonValue()), (value) => {
  const read = CreateVideo.safeParse(value);
  if (!read.success) return;
  for (const text of textsIn(read.data)) must(isStorable(text), "what is taken can be kept");
  must(!Object.hasOwn(read.data, "__proto__"), "no field of that name is taken");
});

function textsIn(value: unknown): readonly string[] {
  if (typeof value === "string") return [value];
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, inner]) => [name, ...textsIn(inner)]);
}

const reference = fc.asyncProperty(
  fc.oneof(
    fc.jsonValue(),
    anyText.map((text) => ({ image_url: text })),
    anyText.map((text) => ({ image_url: `data:${text};base64,${text}` })),
    anyText.map((text) => ({ data: text })),
    fc.uint8Array().map((bytes) => new File([bytes], "a.png")),
  ),
  async (value) => {
    const read = await readInputReference(value);
    if (!read.ok) must(read.refusal.param?.startsWith("input_reference") === true, "a refusal names its field");
  },
);

const image = fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
  const type = imageType(bytes);
  must(type === null || bytes.length >= 3, "nothing is no image");
});

const webhookUrl = fc.property(
  fc.oneof(
    anyText,
    fc.webUrl(),
    innerAddress.map((host) => `https://${host}/`),
  ),
  (url) => {
    const read = CreateWebhookEndpoint.safeParse({ url });
    if (read.success)
      must(isStorable(read.data.url) && URL.canParse(read.data.url), "what is taken is an URL and can be kept");
  },
);

const inside = fc.property(innerAddress, (host) => {
  must(urlFault(`https://${host}/hook`, PUBLIC_ONLY) !== null, `${host} is the inside`);
});

const guard = fc.property(
  fc.oneof(
    anyText,
    fc.webUrl(),
    anyText.map((text) => `https://${text}/`),
  ),
  (url) => {
    if (urlFault(url, PUBLIC_ONLY) !== null) return;
    const { protocol, port, username, password } = new URL(url);
    must(
      protocol === "https:" && ["", "8443"].includes(port) && username + password === "",
      "only https, only its ports",
    );
  },
);

const outside = fc.property(outerV4, spelled, (address, spell) => {
  must(
    urlFault(`https://${spell(address)}/`, PUBLIC_ONLY) === null,
    "a public address may be called, however it is spelled",
  );
});

const classified = fc.property(innerV4, (address) => {
  const [a, b, c, d] = address;
  const hex = [(a << 8) | b, (c << 8) | d].map((word) => word.toString(16)).join(":");
  const forms = [
    address.join("."),
    `::ffff:${hex}`,
    `::ffff:${address.join(".")}`,
    `64:ff9b::${hex}`,
    `2002:${hex}::`,
    `::${hex}`,
    `64:ff9b:1::${hex}`,
  ];
  for (const spelling of forms) must(!isPublicAddress(spelling), `${spelling} is not public`);
});

export const PARSER_LAWS: readonly ParserLaw[] = [
  { name: "API key", cost: 1, law: key },
  { name: "signed call", cost: 4, law: signature },
  { name: "JSON shape", cost: 4, law: shape },
  { name: "form", cost: 4, law: form },
  { name: "Range header", cost: 1, law: range },
  { name: "runner frame", cost: 10, law: frame },
  { name: "client frame", cost: 2, law: clientFrame },
  { name: "create body", cost: 10, law: create },
  { name: "input reference", cost: 4, law: reference },
  { name: "image type", cost: 1, law: image },
  { name: "webhook URL", cost: 4, law: webhookUrl },
  { name: "URL guard, inside", cost: 1, law: inside },
  { name: "URL guard, anything", cost: 2, law: guard },
  { name: "URL guard, outside", cost: 1, law: outside },
  { name: "address classes", cost: 2, law: classified },
];
