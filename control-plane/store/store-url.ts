/**
 * Lease-bound URLs of the store, in the shape of presigned S3 URLs: they name one key, one method, and an end. Whoever
 * holds one may do that one thing until then.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

export const STORE_PATH = "/store/v1/";
/** Long enough for a slow upload of a large video; the epoch is checked again when its result is recorded. */
export const STORE_URL_MS = 15 * 60_000;

export interface StoreGrant {
  readonly method: "GET" | "PUT";
  readonly key: string;
}

export class StoreUrls {
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
    url.searchParams.set("signature", this.#mac(grant, expires));
    return url.href;
  }

  verify(grant: StoreGrant, query: URLSearchParams, nowMs: number): boolean {
    const expires = query.get("expires") ?? "";
    if (!/^\d{13}$/.test(expires) || Number(expires) < nowMs) return false;
    const expected = Buffer.from(this.#mac(grant, expires));
    const given = Buffer.from(query.get("signature") ?? "");
    return expected.length === given.length && timingSafeEqual(expected, given);
  }

  #mac(grant: StoreGrant, expires: string): string {
    return createHmac("sha256", this.#secret).update(`${grant.method}\n${grant.key}\n${expires}`).digest("hex");
  }
}
