/** A call of the admin API of a development stack. */
import type { z } from "zod";

const CALL_MS = 10_000;

export interface Listener {
  readonly url: string;
  readonly token: string;
}

export async function callAdmin<T>(admin: Listener, path: string, body: unknown, answer: z.ZodType<T>): Promise<T> {
  const response = await fetch(`${admin.url}${path}`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${admin.token}`,
      "content-type": "application/json",
      // Grants want one; a start that broke off begins anew, with other accounts.
      "idempotency-key": crypto.randomUUID(),
    },
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(CALL_MS),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`POST ${path} was answered with ${response.status}: ${text.slice(0, 500)}`);
  return answer.parse(JSON.parse(text));
}
