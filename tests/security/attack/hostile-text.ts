/** Texts that break programs: what no database stores, no terminal shows, and no parser reads as its neighbour does. */
import * as fc from "fast-check";

const KNOWN = [
  "",
  " ",
  "\0",
  "a\0b",
  "\ud800",
  "\udfff a",
  "\ufeff",
  "\u202Eevil",
  "é".normalize("NFD"),
  "\u2028\u2029",
  "💣".repeat(50),
  "__proto__",
  "constructor",
  "toString",
  "null",
  "undefined",
  "NaN",
  "-0",
  "1e309",
  "9007199254740993",
  "0x10",
  "' or 1=1 --",
  "'; drop table job; --",
  "$1",
  "{{7*7}}",
  "${process.env}",
  "../../etc/passwd",
  "..%2f..%2f",
  "%00",
  "%c0%ae",
  "%",
  "http://169.254.169.254/latest",
  "http://[::ffff:127.0.0.1]/",
  "javascript:alert(1)",
  "data:image/png;base64,AAAA",
  "data:image/png;base64,!!!!",
  "(a+)+$",
  "\r\nx-injected: 1",
  "<script>alert(1)</script>",
] as const;

export const hostileText: fc.Arbitrary<string> = fc.oneof(
  fc.constantFrom(...KNOWN),
  fc.string({ unit: "binary", maxLength: 64 }),
  fc.string({ unit: "grapheme", maxLength: 64 }),
  fc.constantFrom(256, 513, 2_049, 32_001, 70_000).map((length) => "x".repeat(length)),
);

export const hostileNumber: fc.Arbitrary<number> = fc.oneof(
  fc.constantFrom(0, -1, 1.5, 2 ** 31, 2 ** 32, 2 ** 53, 2 ** 53 + 2, -(2 ** 63), 1e308, 5e-324),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
);
