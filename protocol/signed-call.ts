/**
 * Signed HTTP calls between edge and control plane, both ways: HMAC-SHA256 over method, path with sorted query, body
 * hash, account, timestamp and nonce.
 *
 * The receiver refuses a timestamp more than 60 s off, and says what time it is. The nonce is the request id: the control
 * plane keeps it for mutations (`UNIQUE`, 120 s), so a replayed one is refused; pushes to the edge are idempotent and need
 * none. While the secret is rotated a receiver accepts two.
 */
import { hex, sha256Hex } from "./api-key.ts";
import { AccountId, RequestId } from "./id.ts";

export const SIGNATURE_WINDOW_MS = 60_000;
export const NONCE_KEPT_MS = 120_000;

export const SIGNED_HEADERS = {
  signature: "x-callsheet-signature",
  timestamp: "x-callsheet-timestamp",
  account: "x-callsheet-account",
  nonce: "x-request-id",
} as const;

export interface SignedCall {
  readonly method: string;
  readonly url: URL;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly account: AccountId;
  readonly requestId: RequestId;
}

export type Verdict =
  | { readonly ok: true; readonly account: AccountId; readonly requestId: RequestId }
  | { readonly ok: false; readonly reason: "unsigned" | "bad_signature" | "clock_skew" };

/** Headers that make `call` acceptable to a holder of the same secret for the next 60 s. */
export async function signCall(call: SignedCall, secret: string, nowMs: number): Promise<Record<string, string>> {
  const timestamp = String(nowMs);
  const text = await canonical(call.method, call.url, call.body, call.account, timestamp, call.requestId);
  return {
    [SIGNED_HEADERS.timestamp]: timestamp,
    [SIGNED_HEADERS.account]: call.account,
    [SIGNED_HEADERS.nonce]: call.requestId,
    [SIGNED_HEADERS.signature]: `v1=${hex(new Uint8Array(await crypto.subtle.sign("HMAC", await keyOf(secret), encode(text))))}`,
  };
}

/** `crypto.subtle.verify` compares in constant time. */
export async function verifyCall(
  request: {
    readonly method: string;
    readonly url: URL;
    readonly headers: Headers;
    readonly body: Uint8Array<ArrayBuffer>;
  },
  secrets: readonly string[],
  nowMs: number,
): Promise<Verdict> {
  const signature = /^v1=([0-9a-f]{64})$/.exec(request.headers.get(SIGNED_HEADERS.signature) ?? "")?.[1];
  const timestamp = /^\d{13}$/.exec(request.headers.get(SIGNED_HEADERS.timestamp) ?? "")?.[0];
  const account = AccountId.safeParse(request.headers.get(SIGNED_HEADERS.account));
  const requestId = RequestId.safeParse(request.headers.get(SIGNED_HEADERS.nonce));
  if (signature === undefined || timestamp === undefined || !account.success || !requestId.success) {
    return { ok: false, reason: "unsigned" };
  }
  const text = await canonical(request.method, request.url, request.body, account.data, timestamp, requestId.data);
  const verified = await Promise.all(
    secrets.map(async (secret) => crypto.subtle.verify("HMAC", await keyOf(secret), unhex(signature), encode(text))),
  );
  if (!verified.includes(true)) return { ok: false, reason: "bad_signature" };
  if (Math.abs(nowMs - Number(timestamp)) > SIGNATURE_WINDOW_MS) return { ok: false, reason: "clock_skew" };
  return { ok: true, account: account.data, requestId: requestId.data };
}

async function canonical(
  method: string,
  url: URL,
  body: Uint8Array<ArrayBuffer>,
  account: string,
  timestamp: string,
  nonce: string,
): Promise<string> {
  const query = new URLSearchParams(url.searchParams);
  query.sort();
  return ["v1", method, url.pathname, query.toString(), await sha256Hex(body), account, timestamp, nonce].join("\n");
}

/** A process has one secret; a test a few. */
const KEYS_MAX = 16;
const keys = new Map<string, CryptoKey>();

async function keyOf(secret: string): Promise<CryptoKey> {
  const known = keys.get(secret);
  if (known !== undefined) return known;
  const hmac = { name: "HMAC", hash: "SHA-256" } as const;
  const key = await crypto.subtle.importKey("raw", encode(secret), hmac, false, ["sign", "verify"]);
  if (keys.size >= KEYS_MAX) keys.clear();
  keys.set(secret, key);
  return key;
}

function encode(text: string): Uint8Array<ArrayBuffer> {
  // Copied, because the Worker types leave open what buffer the encoder's bytes live in.
  return new Uint8Array(new TextEncoder().encode(text));
}

function unhex(text: string): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}
