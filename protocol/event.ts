/**
 * The account's event log, and the frames that tell what happens between its events.
 *
 * A numbered event is written in the transaction that changed the state; its `sequence_number` is gap-free per account
 * and is the one cursor of WebSocket, SSE and webhooks. Progress and queue positions are coalesced, carry no number and may
 * be dropped: `GET /v1/videos/{id}` is the truth.
 */
import { z } from "zod";
import { EventId, VideoId, WebhookEndpointId } from "./id.ts";
import { CreditsText } from "./unit.ts";
import { Eta, Scheduler, Usage, VideoError, VideoStatus } from "./video.ts";

export const VideoEventType = z.enum([
  "video.queued",
  "video.in_progress",
  "video.preempted",
  "video.retrying",
  "video.completed",
  "video.failed",
  "video.cancelled",
]);
export type VideoEventType = z.infer<typeof VideoEventType>;

export const EventType = z.enum([
  ...VideoEventType.options,
  "credits.low_balance",
  "credits.grant_expiring",
  "credits.refunded",
  "credits.make_good",
  "webhook_endpoint.disabled",
]);
export type EventType = z.infer<typeof EventType>;

/** Why nothing is sent to a webhook endpoint: it answered 410, it failed for as long as a delivery is tried, or its owner said so. */
export const DisabledReason = z.enum(["receiver_gone", "kept_failing", "by_account"]);
export type DisabledReason = z.infer<typeof DisabledReason>;

export const VideoEventData = z.object({
  id: VideoId,
  status: VideoStatus,
  progress: z.int().min(0).max(100),
  state: Scheduler.shape.state,
  error: VideoError.nullable(),
  /** As of the event, when nothing can have been refunded yet. */
  usage: Usage.omit({ refunded: true, lots: true }),
});
export type VideoEventData = z.infer<typeof VideoEventData>;

/** What happened, and to what: the type decides what `data` says. */
export const Happening = z.discriminatedUnion("type", [
  z.object({ type: VideoEventType, data: VideoEventData }),
  /** Told once; again only after the balance had recovered to twice the threshold. */
  z.object({
    type: z.literal("credits.low_balance"),
    data: z.object({ available: CreditsText, threshold: CreditsText }),
  }),
  /** Told once a grant, two days before its end; of a shorter grant when it is made. */
  z.object({
    type: z.literal("credits.grant_expiring"),
    data: z.object({ grant_id: z.string(), amount: CreditsText, expires_at: z.int() }),
  }),
  /** Charged credits went back to the grants they came from. */
  z.object({
    type: z.literal("credits.refunded"),
    data: z.object({ video_id: VideoId, amount: CreditsText }),
  }),
  /** A grant in place of credits that were lost by a fault of the platform. */
  z.object({
    type: z.literal("credits.make_good"),
    data: z.object({ video_id: VideoId, grant_id: z.string(), amount: CreditsText, expires_at: z.int() }),
  }),
  /** Of the service's own doing; the account's other endpoints can be told. */
  z.object({
    type: z.literal("webhook_endpoint.disabled"),
    data: z.object({ webhook_endpoint_id: WebhookEndpointId, url: z.string(), reason: DisabledReason }),
  }),
]);
export type Happening = z.infer<typeof Happening>;

const envelope = {
  id: EventId,
  object: z.literal("event"),
  created_at: z.int(),
  timestamp: z.iso.datetime(),
  sequence_number: z.int().positive(),
};

export const Event = z.discriminatedUnion("type", [
  z.object({ ...envelope, ...Happening.options[0].shape }),
  z.object({ ...envelope, ...Happening.options[1].shape }),
  z.object({ ...envelope, ...Happening.options[2].shape }),
  z.object({ ...envelope, ...Happening.options[3].shape }),
  z.object({ ...envelope, ...Happening.options[4].shape }),
  z.object({ ...envelope, ...Happening.options[5].shape }),
]);
export type Event = z.infer<typeof Event>;

/** The video that an event is about; null if it is about the account alone. */
export function videoOfEvent(happening: Happening): VideoId | null {
  if ("id" in happening.data) return happening.data.id;
  return "video_id" in happening.data ? happening.data.video_id : null;
}

/** Rendered share of a running job; `stage` is what the runner does now. */
export const ProgressFrame = z.object({
  object: z.literal("event"),
  type: z.literal("video.progress"),
  data: z.object({ id: VideoId, progress: z.int().min(0).max(100), stage: z.string() }),
});
export type ProgressFrame = z.infer<typeof ProgressFrame>;

export const PositionFrame = z.object({
  object: z.literal("event"),
  type: z.literal("video.queue_position"),
  data: z.object({
    id: VideoId,
    position: z.int().nonnegative(),
    eta: Eta.nullable(),
    blocked_by: Scheduler.shape.blocked_by,
  }),
});
export type PositionFrame = z.infer<typeof PositionFrame>;
