/**
 * The one error envelope of the public API, at the edge and behind it: `{"error":{message,type,param,code}}`.
 *
 * `x-should-retry` steers the official SDKs, which otherwise retry every 408, 409, 429 and 5xx on their own.
 */
import { z } from "zod";

interface ErrorRule {
  readonly status: number;
  readonly type:
    | "invalid_request_error"
    | "authentication_error"
    | "billing_error"
    | "rate_limit_error"
    | "server_error";
  /** null: the SDK's own rule for this status is right. */
  readonly shouldRetry: boolean | null;
}

/** Every error code of the public API. */
export const ERROR_RULES = {
  invalid_value: { status: 400, type: "invalid_request_error", shouldRetry: null },
  invalid_body: { status: 400, type: "invalid_request_error", shouldRetry: null },
  unknown_parameter: { status: 400, type: "invalid_request_error", shouldRetry: null },
  unknown_model: { status: 400, type: "invalid_request_error", shouldRetry: null },
  unsupported_size: { status: 400, type: "invalid_request_error", shouldRetry: null },
  unsupported_operation: { status: 400, type: "invalid_request_error", shouldRetry: null },
  content_policy_violation: { status: 400, type: "invalid_request_error", shouldRetry: false },
  invalid_api_key: { status: 401, type: "authentication_error", shouldRetry: null },
  /** Between the programs only: the edge's clock is wrong. */
  clock_skew: { status: 401, type: "authentication_error", shouldRetry: null },
  invalid_ticket: { status: 401, type: "authentication_error", shouldRetry: null },
  origin_forbidden: { status: 403, type: "authentication_error", shouldRetry: null },
  insufficient_credits: { status: 402, type: "billing_error", shouldRetry: false },
  not_found: { status: 404, type: "invalid_request_error", shouldRetry: null },
  video_not_found: { status: 404, type: "invalid_request_error", shouldRetry: null },
  method_not_allowed: { status: 405, type: "invalid_request_error", shouldRetry: null },
  video_not_ready: { status: 409, type: "invalid_request_error", shouldRetry: false },
  webhook_endpoint_disabled: { status: 409, type: "invalid_request_error", shouldRetry: false },
  idempotency_in_flight: { status: 409, type: "invalid_request_error", shouldRetry: true },
  grant_ended: { status: 409, type: "invalid_request_error", shouldRetry: false },
  idempotency_key_reuse: { status: 422, type: "invalid_request_error", shouldRetry: false },
  video_expired: { status: 410, type: "invalid_request_error", shouldRetry: null },
  file_too_large: { status: 413, type: "invalid_request_error", shouldRetry: null },
  unsupported_media_type: { status: 415, type: "invalid_request_error", shouldRetry: null },
  range_not_satisfiable: { status: 416, type: "invalid_request_error", shouldRetry: null },
  upgrade_required: { status: 426, type: "invalid_request_error", shouldRetry: null },
  rate_limit_exceeded: { status: 429, type: "rate_limit_error", shouldRetry: true },
  queue_full: { status: 429, type: "rate_limit_error", shouldRetry: false },
  internal_error: { status: 500, type: "server_error", shouldRetry: null },
  control_plane_unavailable: { status: 503, type: "server_error", shouldRetry: true },
  /** Shed before anything was done: there is more to do than can be done in time. */
  temporary_reduced_capacity: { status: 503, type: "server_error", shouldRetry: true },
  service_unavailable: { status: 503, type: "server_error", shouldRetry: true },
} as const satisfies Record<string, ErrorRule>;

export type ErrorCode = keyof typeof ERROR_RULES;

export const ErrorEnvelope = z.object({
  error: z.looseObject({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
});
export type ErrorEnvelope = z.infer<typeof ErrorEnvelope>;

/** An expected no, with the field that caused it. `numbers` are shown beside the message (e.g. required, available). */
export interface Refusal {
  readonly code: ErrorCode;
  readonly message: string;
  readonly param?: string;
  readonly numbers?: Readonly<Record<string, string | number>>;
  readonly retryAfterSeconds?: number;
}

/** `Retry-After` never exceeds this: SDK 6 sleeps as told without a cap. */
export const RETRY_AFTER_SECONDS_MAX = 60;

/** The same bytes for the same refusal everywhere; `requestId` becomes `x-request-id`. */
export function renderRefusal(refusal: Refusal, requestId: string): Response {
  const rule: ErrorRule = ERROR_RULES[refusal.code];
  const headers = new Headers({ "content-type": "application/json", "x-request-id": requestId });
  if (rule.shouldRetry !== null) headers.set("x-should-retry", String(rule.shouldRetry));
  if (refusal.retryAfterSeconds !== undefined) {
    headers.set("retry-after", String(Math.min(RETRY_AFTER_SECONDS_MAX, Math.max(1, refusal.retryAfterSeconds))));
  }
  const body: ErrorEnvelope = {
    error: {
      message: refusal.message,
      type: rule.type,
      param: refusal.param ?? null,
      code: refusal.code,
      ...refusal.numbers,
    },
  };
  return new Response(JSON.stringify(body), { status: rule.status, headers });
}

/** Turns the first zod issue into a refusal that names the field as the client wrote it. */
export function refusalOf(error: z.ZodError): Refusal {
  const issue = error.issues[0];
  if (issue === undefined) return { code: "invalid_body", message: "The request body is not valid." };
  if (issue.code === "unrecognized_keys") {
    const key = [...issue.path, issue.keys[0] ?? ""].join(".");
    return { code: "unknown_parameter", message: `Unknown parameter: '${key}'.`, param: key };
  }
  const param = issue.path.join(".");
  if (param === "") return { code: "invalid_body", message: `The request body is not valid: ${issue.message}.` };
  return { code: "invalid_value", message: `Invalid '${param}': ${issue.message}`, param };
}
