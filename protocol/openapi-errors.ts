/**
 * Which refusals an operation of the API may answer with, by what it takes: a key always, a body, a query, an id in its path; and
 * what it says of itself. Rendered as one response a status, its codes in `x-error-codes`.
 */
import { ERROR_RULES } from "./error.ts";
import type { ErrorCode } from "./error.ts";

const ALWAYS = [
  "invalid_api_key",
  "rate_limit_exceeded",
  "internal_error",
  "control_plane_unavailable",
  "service_unavailable",
] as const;
const OF_BODY = [
  "invalid_value",
  "invalid_body",
  "unknown_parameter",
  "file_too_large",
  "unsupported_media_type",
] as const;
const OF_QUERY = ["invalid_value", "unknown_parameter"] as const;
/** Of a body that asks for a video: what models, credits and queues allow. */
export const OF_CREATE = [
  "unknown_model",
  "unsupported_size",
  "unsupported_operation",
  "insufficient_credits",
  "queue_full",
] as const;

export interface Shape {
  readonly path: string;
  readonly hasBody: boolean;
  readonly hasQuery: boolean;
  /** Beside those that follow from its shape. */
  readonly errors: readonly ErrorCode[];
}

export function errorCodesOf({ path, hasBody, hasQuery, errors }: Shape): readonly ErrorCode[] {
  const unknownId = path.startsWith("/v1/videos/") ? "video_not_found" : "not_found";
  const sets: readonly (readonly ErrorCode[])[] = [
    ALWAYS,
    hasBody ? OF_BODY : [],
    hasQuery ? OF_QUERY : [],
    path.includes("{id}") ? [unknownId] : [],
    errors,
  ];
  return [...new Set(sets.flat())];
}

/** Status → response. `default` stays for what no operation plans: a proxy on the way, a limit of the platform. */
export function errorResponses(shape: Shape, content: object): object {
  const byStatus = Map.groupBy(errorCodesOf(shape), (code) => ERROR_RULES[code].status);
  const responses = Array.from(byStatus, ([status, codes]) => [
    status,
    { description: codes.map((code) => `\`${code}\``).join(", "), content, "x-error-codes": codes },
  ]);
  return {
    ...Object.fromEntries(responses),
    default: { description: "Another error; `x-error-codes` of the document lists all", content },
  };
}
