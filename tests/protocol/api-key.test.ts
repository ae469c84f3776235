import { randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { expect, test } from "vitest";
import { accountOfKey, hashOfKey, mintKey } from "#protocol/api-key.ts";
import { AccountId } from "#protocol/id.ts";

const account = AccountId.parse("acct_0123456789abcdef");
const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

test("a minted key leads back to its account", () => {
  const key = mintKey("live", account, new Uint8Array(randomBytes(64)));
  expect(key).toMatch(/^cs_live_0123456789abcdef_[0-9A-Za-z]{30}_[0-9A-Za-z]{6}$/);
  expect(accountOfKey(key)).toBe(account);
});

test("a key with any one letter changed is nobody's", () => {
  const key = mintKey("test", account, new Uint8Array(randomBytes(64)));
  const place = fc.integer({ min: 0, max: key.length - 1 });
  fc.assert(
    fc.property(place, fc.constantFrom(...BASE62.split("")), (at, letter) => {
      fc.pre(key[at] !== letter);
      expect(accountOfKey(key.slice(0, at) + letter + key.slice(at + 1))).toBeNull();
    }),
  );
});

test("too little randomness mints no key", () => {
  expect(() => mintKey("dev", account, new Uint8Array(29))).toThrow(RangeError);
  expect(() => mintKey("dev", account, new Uint8Array(64).fill(255))).toThrow(RangeError);
});

test("what is stored of a key is its SHA-256", async () => {
  expect(await hashOfKey("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});
