/** The static bearer tokens of operators and runners, compared without telling how close a guess was. */
import { createHash, timingSafeEqual } from "node:crypto";

/** `authorization` is the header as it came, or undefined. */
export function bearerMatches(authorization: string | undefined, token: string): boolean {
  const given = /^Bearer (.+)$/.exec(authorization ?? "")?.[1] ?? "";
  // Hashing first makes the lengths equal.
  const digest = (text: string) => createHash("sha256").update(text).digest();
  return timingSafeEqual(digest(given), digest(token));
}
