/**
 * Lease-bound URLs of the store behind the control plane, in the shape of presigned S3 URLs: they name one key, one method, an
 * end, and how many bytes a PUT brings; the key names their hash, and a PUT says it in `CHECKSUM_HEADER`. Whoever holds one may do
 * that one thing until then.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

export const STORE_PATH = "/store/v1/";
/** Long enough for a slow upload of a large video; the epoch is checked again when its result is recorded. */
export const STORE_URL_MS = 15 * 60_000;

export type StoreGrant =
  | { readonly method: "GET"; readonly key: string }
  | { readonly method: "PUT"; readonly key: string; readonly bytes: number };

/** Signs what a runner, or who judges a result, may do with one file. */
export interface FileUrls {
  /** Who checks the bytes of a PUT: we, before they can be seen, or the store, whose word `stat` then has. */
  readonly checkedBy: "us" | "store";
  sign(grant: StoreGrant, nowMs: number): string;
}

export class StoreUrls implements FileUrls {
  readonly checkedBy = "us";
  readonly #baseUrl: string;
  readonly #secret: string;

  constructor(baseUrl: string, secret: string) {
    this.#baseUrl = baseUrl;
    this.#secret = secret;
  }

  sign(grant: StoreGrant, nowMs: number): string {
    const expires = String(nowMs + STORE_URL_MS);
    const url = new URL(STORE_PATH + grant.key, this.#baseUrl);
    url.searchParams.set("expires", expires);
    if (grant.method === "PUT") url.searchParams.set("bytes", String(grant.bytes));
    url.searchParams.set("signature", this.#mac(grant.method, grant.key, url.searchParams));
    return url.href;
  }

  /** What the URL grants for this method and key; null: nothing, or nothing any more. */
  verify(method: StoreGrant["method"], key: string, query: URLSearchParams, nowMs: number): StoreGrant | null {
    const expires = query.get("expires") ?? "";
    if (!/^\d{13}$/.test(expires) || Number(expires) < nowMs) return null;
    const expected = Buffer.from(this.#mac(method, key, query));
    const given = Buffer.from(query.get("signature") ?? "");
    if (expected.length !== given.length || !timingSafeEqual(expected, given)) return null;
    return method === "GET" ? { method, key } : { method, key, bytes: Number(query.get("bytes")) };
  }

  #mac(method: string, key: string, query: URLSearchParams): string {
    const signed = [method, key, query.get("expires"), query.get("bytes") ?? ""].join("\n");
    return createHmac("sha256", this.#secret).update(signed).digest("hex");
  }
}
