/**
 * Branded identifiers of everything that crosses a process. An id is made by parsing (`VideoId.parse(text)`), never by
 * a cast, so a string of one kind cannot be passed where another is meant.
 */
import { z } from "zod";

/** Who is billed, limited and treated fairly. The part after `acct_` is the `accountRef` inside an API key. */
export const AccountId = z
  .string()
  .regex(/^acct_[0-9a-z]{16}$/)
  .brand<"AccountId">();
export type AccountId = z.infer<typeof AccountId>;

/** One video is one job; both carry this id. UUIDv7 in hex, so ids sort by creation. */
export const VideoId = z
  .string()
  .regex(/^video_[0-9a-f]{32}$/)
  .brand<"VideoId">();
export type VideoId = z.infer<typeof VideoId>;

export const EventId = z
  .string()
  .regex(/^evt_[0-9a-f]{32}$/)
  .brand<"EventId">();
export type EventId = z.infer<typeof EventId>;

export const WebhookEndpointId = z
  .string()
  .regex(/^we_[0-9a-f]{32}$/)
  .brand<"WebhookEndpointId">();
export type WebhookEndpointId = z.infer<typeof WebhookEndpointId>;

/** The `webhook-id` of every try; sorts by creation. */
export const WebhookDeliveryId = z
  .string()
  .regex(/^msg_[0-9a-f]{32}$/)
  .brand<"WebhookDeliveryId">();
export type WebhookDeliveryId = z.infer<typeof WebhookDeliveryId>;

/** Names one create over all its retries; minted by the account's object before the call is forwarded. */
export const CreateKey = z
  .string()
  .regex(/^ck_[0-9a-z]{16,64}$/)
  .brand<"CreateKey">();
export type CreateKey = z.infer<typeof CreateKey>;

/** A GPU host's agent; stable over its restarts. */
export const RunnerId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9-]{0,62}$/)
  .brand<"RunnerId">();
export type RunnerId = z.infer<typeof RunnerId>;

/** A GPU, or another unit that runs jobs, of a runner; unique within that runner. */
export const DeviceId = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9:._-]{0,79}$/)
  .brand<"DeviceId">();
export type DeviceId = z.infer<typeof DeviceId>;

export const RequestId = z
  .string()
  .regex(/^req_[0-9a-f]{32}$/)
  .brand<"RequestId">();
export type RequestId = z.infer<typeof RequestId>;

export const Sha256Hex = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .brand<"Sha256Hex">();
export type Sha256Hex = z.infer<typeof Sha256Hex>;
