/** Headers of every answer: nothing of it is guessed at, framed, run, kept by a cache that others use, or sent on as a referrer. */
const SAFE: Readonly<Record<string, string>> = {
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
};
const HTTPS_ONLY = "max-age=31536000; includeSubDomains";

/** A handler that knows better has set its own. */
export function addSafeHeaders(headers: Headers, url: string): void {
  for (const [name, value] of Object.entries(SAFE)) if (!headers.has(name)) headers.set(name, value);
  if (url.startsWith("https:")) headers.set("strict-transport-security", HTTPS_ONLY);
  if (headers.has("cache-control")) return;
  // A video never changes; everything else is true only now.
  headers.set("cache-control", headers.get("content-type") === "video/mp4" ? "private" : "private, no-store");
}
