/** The named bearer tokens of operators, compared without telling how close a guess was. */
import { createHash, timingSafeEqual } from "node:crypto";

export interface NamedToken {
  readonly name: string;
  readonly token: string;
}

/** Whose token it is, or null. `authorization` is the header as it came, or undefined. Every token is compared. */
export function bearerOf(authorization: string | undefined, tokens: readonly NamedToken[]): string | null {
  const given = digest(/^Bearer (.+)$/.exec(authorization ?? "")?.[1] ?? "");
  const matching = tokens.filter(({ token }) => timingSafeEqual(given, digest(token)));
  return matching[0]?.name ?? null;
}

/** Hashing first makes the lengths equal. */
function digest(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
