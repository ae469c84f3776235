/**
 * Webhooks: Standard Webhooks 1.0 headers and signature over the event envelope, so `standardwebhooks` and
 * `openai.webhooks.unwrap()` verify them unchanged. The body is an `Event`.
 */
import { z } from "zod";
import { EventType } from "./event.ts";

/** Events an endpoint gets unless it asks for others. */
export const WEBHOOK_DEFAULT_EVENTS = ["video.completed", "video.failed"] as const satisfies readonly z.infer<
  typeof EventType
>[];

export const WEBHOOK_ENDPOINTS_MAX = 16;

export const CreateWebhookEndpoint = z.strictObject({
  url: z.url({ protocol: /^https?$/, error: "must be an http or https URL." }).max(2_048),
  events: z.array(EventType).min(1).max(EventType.options.length).optional(),
});
export type CreateWebhookEndpoint = z.infer<typeof CreateWebhookEndpoint>;

export const WebhookEndpoint = z.object({
  id: z.string().regex(/^we_[0-9a-f]{32}$/),
  object: z.literal("webhook_endpoint"),
  url: z.string(),
  events: z.array(EventType),
  enabled: z.boolean(),
  created_at: z.int(),
  /** `whsec_` + base64; only in the answer to the create. */
  secret: z.string().optional(),
});
export type WebhookEndpoint = z.infer<typeof WebhookEndpoint>;

export const WebhookEndpointList = z.object({ object: z.literal("list"), data: z.array(WebhookEndpoint) });
export const WebhookEndpointDeleted = z.object({
  id: z.string(),
  object: z.literal("webhook_endpoint.deleted"),
  deleted: z.literal(true),
});
