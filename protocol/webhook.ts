/**
 * Webhooks: Standard Webhooks 1.0 headers and signature over the event envelope, so `standardwebhooks` and
 * `openai.webhooks.unwrap()` verify them unchanged. The body is an `Event`; of a test, the same without a number.
 *
 * `docs/webhooks.md` says what a receiver may count on.
 */
import { z } from "zod";
import { DisabledReason, EventType } from "./event.ts";
import { WebhookDeliveryId, WebhookEndpointId } from "./id.ts";
import { queryNumber } from "./query-number.ts";
import { isStorable, UNSTORABLE } from "./text.ts";

/** Events an endpoint gets unless it asks for others; a video's own `webhook_url` always gets these. */
export const WEBHOOK_DEFAULT_EVENTS = ["video.completed", "video.failed"] as const satisfies readonly z.infer<
  typeof EventType
>[];

export const WEBHOOK_ENDPOINTS_MAX = 16;
const URL_CHARS_MAX = 2_048;

/** What can be said of an address without looking it up; which hosts and ports may be called is the control plane's. */
export const WebhookUrl = z
  .url({ protocol: /^https?$/, error: "must be an http or https URL." })
  .max(URL_CHARS_MAX, `must be at most ${URL_CHARS_MAX} characters.`)
  .refine(isStorable, UNSTORABLE)
  .refine((text) => {
    const url = URL.parse(text);
    return url === null || (url.username === "" && url.password === "");
  }, "must not carry a user name or password.");

const Events = z
  .array(EventType)
  .min(1)
  .max(EventType.options.length)
  .refine((types) => new Set(types).size === types.length, "must not name an event twice.");

export const CreateWebhookEndpoint = z.strictObject({ url: WebhookUrl, events: Events.optional() });
export type CreateWebhookEndpoint = z.infer<typeof CreateWebhookEndpoint>;

/** What is not named stays. A new `url` or `enabled: true` starts it afresh: its failures are forgotten. */
export const UpdateWebhookEndpoint = z.strictObject({
  url: WebhookUrl.optional(),
  events: Events.optional(),
  enabled: z.boolean().optional(),
});
export type UpdateWebhookEndpoint = z.infer<typeof UpdateWebhookEndpoint>;

/** `account`: made by `POST /v1/webhook_endpoints`; `videos`: the `webhook_url` of videos. */
export const EndpointScope = z.enum(["account", "videos"]);
export type EndpointScope = z.infer<typeof EndpointScope>;

export const WebhookEndpoint = z.object({
  id: WebhookEndpointId,
  object: z.literal("webhook_endpoint"),
  scope: EndpointScope,
  url: z.string(),
  events: z.array(EventType),
  enabled: z.boolean(),
  /** Null while it is enabled. */
  disabled_reason: DisabledReason.nullable(),
  /** Since when every try failed. */
  failing_since: z.int().nullable(),
  /** After failures in a row nothing is sent before; then one try at a time. */
  rested_until: z.int().nullable(),
  last_delivered_at: z.int().nullable(),
  created_at: z.int(),
  /** `whsec_` + base64; only in the answer to a create or a rotation. */
  secret: z.string().optional(),
});
export type WebhookEndpoint = z.infer<typeof WebhookEndpoint>;

export const WebhookEndpointList = z.object({ object: z.literal("list"), data: z.array(WebhookEndpoint) });
export const WebhookEndpointDeleted = z.object({
  id: z.string(),
  object: z.literal("webhook_endpoint.deleted"),
  deleted: z.literal(true),
});

const OVERLAP_SECONDS = 86_400;
const OVERLAP_SECONDS_MAX = 7 * 86_400;
/** How long the old secret signs beside the new one; 0 ends it now, as a leak demands. */
export const RotateSecret = z.strictObject({
  overlap_seconds: z.int().min(0).max(OVERLAP_SECONDS_MAX).default(OVERLAP_SECONDS),
});
export type RotateSecret = z.infer<typeof RotateSecret>;

/** The account's secret, which signs what goes to the `webhook_url` of its videos; shown by its rotation only. */
export const WebhookSecret = z.object({
  object: z.literal("webhook_secret"),
  secret: z.string(),
  /** Old secrets sign beside it until then. */
  old_secrets_expire_at: z.int(),
});
export type WebhookSecret = z.infer<typeof WebhookSecret>;

export const DeliveryStatus = z.enum([
  "pending", // has a next try
  "delivered", // answered with 2xx
  "failed", // given up: the schedule ended, or the endpoint was disabled
]);
export type DeliveryStatus = z.infer<typeof DeliveryStatus>;

export const WebhookDelivery = z.object({
  id: WebhookDeliveryId,
  object: z.literal("webhook_delivery"),
  webhook_endpoint_id: WebhookEndpointId,
  url: z.string(),
  event_id: z.string(),
  event_type: z.string(),
  /** Of the event; null for a test. */
  sequence_number: z.int().positive().nullable(),
  status: DeliveryStatus,
  tries: z.int().nonnegative(),
  /** Of the last try: the HTTP status that it got, or why it got none, and how long it took. The answer's body is never kept. */
  last_status: z.int().nullable(),
  last_error: z.string().nullable(),
  last_ms: z.int().nonnegative().nullable(),
  last_tried_at: z.int().nullable(),
  next_try_at: z.int().nullable(),
  delivered_at: z.int().nullable(),
  created_at: z.int(),
});
export type WebhookDelivery = z.infer<typeof WebhookDelivery>;

export const WebhookDeliveryList = z.object({
  object: z.literal("list"),
  data: z.array(WebhookDelivery),
  first_id: WebhookDeliveryId.nullable(),
  last_id: WebhookDeliveryId.nullable(),
  has_more: z.boolean(),
});
export type WebhookDeliveryList = z.infer<typeof WebhookDeliveryList>;

export const DELIVERY_LIMIT_MAX = 100;
export const DeliveryQuery = z.strictObject({
  limit: queryNumber(0, DELIVERY_LIMIT_MAX).default(20),
  order: z.enum(["asc", "desc"]).default("desc"),
  after: WebhookDeliveryId.optional(),
  webhook_endpoint_id: WebhookEndpointId.optional(),
  status: DeliveryStatus.optional(),
});
export type DeliveryQuery = z.infer<typeof DeliveryQuery>;

/** Events of one call; `last_sequence_number` of the answer is where the next call goes on. */
export const REPLAY_EVENTS_MAX = 1_000;
/** Of an account's log; it is stored in 32 bits. */
const SEQUENCE_NUMBER_MAX = 2 ** 31 - 1;
/** Exactly one of the two beginnings. `failed` leaves out what was delivered. What is still pending is never sent twice. */
export const ReplayWebhooks = z
  .strictObject({
    starting_after: z.int().nonnegative().max(SEQUENCE_NUMBER_MAX).optional(),
    since: z.int().nonnegative().max(253_402_300_799).optional(),
    status: z.enum(["failed", "any"]).default("any"),
  })
  .refine(({ starting_after, since }) => (starting_after === undefined) !== (since === undefined), {
    path: ["starting_after"],
    message: "give either 'starting_after' or 'since'.",
  });
export type ReplayWebhooks = z.infer<typeof ReplayWebhooks>;

export const WebhookReplay = z.object({
  object: z.literal("webhook_replay"),
  webhook_endpoint_id: WebhookEndpointId,
  /** Deliveries that will be sent because of this call. */
  replayed: z.int().nonnegative(),
  /** How far the log was looked at. */
  last_sequence_number: z.int().nonnegative(),
  has_more: z.boolean(),
});
export type WebhookReplay = z.infer<typeof WebhookReplay>;
