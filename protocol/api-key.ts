/**
 * API keys: `cs_<env>_<accountRef>_<secret>_<crc>`.
 *
 * The checksum lets the edge (and secret scanners) drop typos without a look-up; `accountRef` routes the call to the
 * account's Durable Object; only the SHA-256 of the whole key is ever stored.
 */
import { AccountId, Sha256Hex } from "./id.ts";

export const KEY_SECRET_CHARS = 30; // base62: 178 bits
const CRC_CHARS = 6;
const BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const KEY = /^cs_(dev|test|live)_([0-9a-z]{16})_([0-9A-Za-z]{30})_([0-9A-Za-z]{6})$/;

export type KeyEnv = "dev" | "test" | "live";

/** Reads the account out of a key whose checksum holds; null for anything else. */
export function accountOfKey(key: string): AccountId | null {
  const match = KEY.exec(key);
  if (match === null) return null;
  const [, env, ref, secret, crc] = match;
  if (crc !== checksum(`cs_${env}_${ref}_${secret}`)) return null;
  return AccountId.parse(`acct_${ref}`);
}

/** `randomBytes` needs at least `KEY_SECRET_CHARS` bytes of cryptographic randomness; bytes ≥ 248 are skipped (no bias). */
export function mintKey(env: KeyEnv, account: AccountId, randomBytes: Uint8Array): string {
  let secret = "";
  for (const byte of randomBytes) {
    if (byte < 248 && secret.length < KEY_SECRET_CHARS) secret += BASE62[byte % 62];
  }
  if (secret.length < KEY_SECRET_CHARS) throw new RangeError("mintKey: not enough random bytes");
  const body = `cs_${env}_${account.slice("acct_".length)}_${secret}`;
  return `${body}_${checksum(body)}`;
}

/** What is stored and sent instead of the key. */
export async function hashOfKey(key: string): Promise<Sha256Hex> {
  return sha256Hex(new Uint8Array(new TextEncoder().encode(key)));
}

export async function sha256Hex(bytes: Uint8Array<ArrayBuffer>): Promise<Sha256Hex> {
  return Sha256Hex.parse(hex(new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))));
}

export function hex(bytes: Uint8Array): string {
  return bytes.toHex();
}

function checksum(text: string): string {
  let value = crc32(new TextEncoder().encode(text));
  let digits = "";
  for (let i = 0; i < CRC_CHARS; i++) {
    digits = BASE62.charAt(value % 62) + digits;
    value = Math.floor(value / 62);
  }
  return digits;
}

/** CRC-32 (IEEE 802.3), bit by bit: keys are short, a table would not pay. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}
