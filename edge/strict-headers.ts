/** Headers of every answer of the edge: nothing is sniffed, framed, cached or told to another site. */

const ALWAYS = {
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
} as const;
/** In development the edge speaks plain HTTP on loopback. */
const HSTS = "max-age=31536000; includeSubDomains";
/** Answers are an account's own; what may be kept longer says so itself. */
const UNCACHED = "no-store";

export function setStrictHeaders(headers: Headers, environment: string): void {
  for (const [name, value] of Object.entries(ALWAYS)) headers.set(name, value);
  if (environment !== "development") headers.set("strict-transport-security", HSTS);
  if (!headers.has("cache-control")) headers.set("cache-control", UNCACHED);
}
