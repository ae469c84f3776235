/** Addresses of the inside in every spelling that a URL parser takes, and of the outside. */
import * as fc from "fast-check";

type V4 = readonly [number, number, number, number];
const byte = fc.nat({ max: 255 });
const v4 = (
  a: fc.Arbitrary<number>,
  b: fc.Arbitrary<number> = byte,
  c: fc.Arbitrary<number> = byte,
): fc.Arbitrary<V4> => fc.tuple(a, b, c, byte);
const is = (value: number) => fc.constant(value);

/** Loopback, private, link-local with its metadata services, shared, benchmark, test, multicast, reserved, and none at all. */
export const innerV4: fc.Arbitrary<V4> = fc.oneof(
  v4(is(127)),
  v4(is(10)),
  v4(is(172), fc.integer({ min: 16, max: 31 })),
  v4(is(192), is(168)),
  v4(is(169), is(254)),
  fc.constant<V4>([169, 254, 169, 254]),
  fc.constant<V4>([100, 100, 100, 200]),
  v4(is(100), fc.integer({ min: 64, max: 127 })),
  v4(is(198), fc.constantFrom(18, 19)),
  v4(is(192), is(0), is(2)),
  v4(is(198), is(51), is(100)),
  v4(is(203), is(0), is(113)),
  v4(fc.integer({ min: 224, max: 255 })),
  v4(is(0)),
);

/** Well inside ranges that are routed and given to hosts. */
export const outerV4: fc.Arbitrary<V4> = v4(
  fc.constantFrom(1, 8, 34, 52, 93, 140, 185),
  fc.integer({ min: 1, max: 254 }),
  fc.integer({ min: 1, max: 254 }),
);

const asNumber = ([a, b, c, d]: V4) => ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
const FULL_WIDTH = "０１２３４５６７８９";
const CIRCLED = "⓪①②③④⑤⑥⑦⑧⑨";
const digits = (from: string, text: string) => text.replaceAll(/\d/g, (digit) => Array.from(from)[Number(digit)] ?? "");
const words = ([a, b, c, d]: V4) => [(a << 8) | b, (c << 8) | d].map((word) => word.toString(16)).join(":");

const SPELLINGS: readonly ((address: V4) => string)[] = [
  (v) => v.join("."),
  (v) => `${v.join(".")}.`,
  (v) => String(asNumber(v)),
  (v) => `0x${asNumber(v).toString(16)}`,
  (v) => `0${asNumber(v).toString(8)}`,
  (v) => v.map((part) => `0x${part.toString(16)}`).join("."),
  (v) => v.map((part) => `0${part.toString(8)}`).join("."),
  ([a, b, c, d]) => `${a}.${b}.${(c << 8) | d}`,
  ([a, b, c, d]) => `${a}.${(b << 16) | (c << 8) | d}`,
  (v) => digits(FULL_WIDTH, v.join(".")),
  (v) => digits(CIRCLED, v.join(".")),
  (v) => v.join("。"),
  (v) => v.map((part, at) => (at % 2 === 0 ? `0X${part.toString(16)}` : String(part))).join("."),
  (v) => encodeURI(v.join(".")).replaceAll(".", "%2e"),
];
export const spelled: fc.Arbitrary<(address: V4) => string> = fc.constantFrom(...SPELLINGS);

const EMBEDDED: readonly ((address: V4) => string)[] = [
  (v) => `[::ffff:${v.join(".")}]`,
  (v) => `[::ffff:${words(v)}]`,
  (v) => `[0:0:0:0:0:ffff:${words(v)}]`,
  (v) => `[::${words(v)}]`,
  (v) => `[::${v.join(".")}]`,
  (v) => `[64:ff9b::${words(v)}]`,
  (v) => `[64:ff9b:1::${words(v)}]`,
  (v) => `[2002:${words(v)}::]`,
  (v) => `[2002:${words(v)}::1]`,
  (v) => `[2001:0:${words(v)}::1]`,
  (v) => `[2001:0:0:0:0:0:${words(v)}]`,
  (v) => `[fe80::${words(v)}]`,
  (v) => `[fd00::${words(v)}]`,
  (v) => `[fc00:${words(v)}::]`,
  (v) => `[ff02::${words(v)}]`,
  (v) => `[fec0::${words(v)}]`,
  (v) => `[2001:db8::${words(v)}]`,
];

const NAMES = [
  "localhost",
  "LOCALHOST",
  "localhost.",
  "a.b.localhost",
  "metadata.google.internal",
  "printer.local",
  "router.home.arpa",
  "intranet",
  "x.internal.",
] as const;

export const innerAddress: fc.Arbitrary<string> = fc.oneof(
  fc.tuple(innerV4, spelled).map(([address, spell]) => spell(address)),
  fc.tuple(innerV4, fc.constantFrom(...EMBEDDED)).map(([address, embed]) => embed(address)),
  fc.constantFrom("[::1]", "[::]", "[0:0:0:0:0:0:0:1]", "[::ffff:0:0]", "[fd00:ec2::254]", "[fd20:ce::254]"),
  fc.constantFrom(...NAMES),
);
