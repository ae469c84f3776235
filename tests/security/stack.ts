/** The attacked stack, as a test sees it: customers who call it, its inner addresses, and the secrets nobody may find. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { inject } from "vitest";
import { Secrets } from "#cli/home.ts";
import { Product } from "#tests/support/product.ts";

export function joinStack(): Product {
  const { home, dev } = inject("stack");
  return Product.join(home, dev);
}

export function secretsOf(product: Product): Secrets {
  return Secrets.parse(JSON.parse(readFileSync(join(product.home, "secrets.json"), "utf8")));
}

export interface Answered {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly text: string;
}

/** Calls of one customer; a string is sent as it is, anything else as JSON. */
export function callerOf(product: Product, apiKey: string) {
  return async (method: string, path: string, body?: unknown): Promise<Answered> => {
    const answer = await fetch(product.dev.edge_url + path, {
      method,
      redirect: "manual",
      headers: {
        authorization: `Bearer ${apiKey}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body: typeof body === "string" ? body : JSON.stringify(body) }),
    });
    return { status: answer.status, headers: Object.fromEntries(answer.headers), text: await answer.text() };
  };
}
export type Call = ReturnType<typeof callerOf>;

export function json(answer: Answered): Record<string, unknown> {
  return JSON.parse(answer.text) as Record<string, unknown>;
}

/** Of the request alone: its id, the time, and what is left of the caller's own rate. */
const OF_THE_REQUEST = /^(?:x-request-id|date|ratelimit|x-ratelimit-.*)$/;

/** What of an answer may tell two cases apart; `asked` is the id that it may repeat. */
export function telling({ status, headers, text }: Answered, asked: string): string {
  const rest = Object.entries(headers).filter(([name]) => !OF_THE_REQUEST.test(name));
  return JSON.stringify([status, rest, text]).replaceAll(asked, "{id}");
}
