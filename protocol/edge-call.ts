/**
 * What the edge and the control plane say to each other over signed HTTPS (`signed-call.ts`). The account is in the
 * signed headers, so no body repeats it.
 *
 * Edge → control plane (public answers are passed through unchanged, refusals included):
 *
 * | call | body | answer |
 * |---|---|---|
 * | `POST /edge/v1/keys/check`             | `KeyCheck`      | `KeyAnswer`; 404 `not_found` if unknown or revoked |
 * | `POST /edge/v1/videos`                 | `SubmitVideo`   | `Video` (200, also for a repeated `create_key`; `Idempotency-Replayed: true` if the claim's video is of another one) |
 * | `GET /edge/v1/videos?limit&order&after`|                 | `VideoList` |
 * | `GET /edge/v1/videos/{id}`             |                 | `Video` |
 * | `DELETE /edge/v1/videos/{id}`          |                 | `VideoDeleted` |
 * | `POST /edge/v1/videos/{id}/cancel`     |                 | `Video` |
 * | `POST /edge/v1/videos/{id}/remix`      | `SubmitRemix`   | `Video` (200, also for a repeated `create_key`) |
 * | `POST /edge/v1/videos/{id}/promote`    | `SubmitPromote` | `Video` (200, also for a repeated `create_key`) |
 * | `GET /edge/v1/videos/{id}/content?variant` | `Range` header | MP4 bytes, 200 or 206; `thumbnail`: WebP bytes |
 * | `POST /edge/v1/videos/estimate`        | `EstimateVideo` | `VideoEstimate` |
 * | `GET /edge/v1/credits/balance`         |                 | `CreditBalance` |
 * | `GET /edge/v1/credits/grants?limit&order&after` |        | `CreditGrantList` |
 * | `GET /edge/v1/credits/transactions?limit&order&after` |  | `CreditTransactionList` |
 * | `GET /edge/v1/events?after&limit`      |                 | `EventPage` |
 * | `GET /edge/v1/limits`                |                 | `AccountStanding` |
 * | `GET /edge/v1/models`                |                 | `ModelList` |
 * | `PUT /edge/v1/subscription`            | `Subscribe`     | `SubscriptionAnswer` |
 * | `POST /edge/v1/snapshot`               | `AskSnapshot`   | `SnapshotAnswer` |
 * | `POST /edge/v1/webhook_endpoints`      | `CreateWebhookEndpoint` | `WebhookEndpoint` with its secret |
 * | `GET /edge/v1/webhook_endpoints`       |                 | `WebhookEndpointList` |
 * | `GET /edge/v1/webhook_endpoints/{id}`  |                 | `WebhookEndpoint` |
 * | `PATCH /edge/v1/webhook_endpoints/{id}` | `UpdateWebhookEndpoint` | `WebhookEndpoint` |
 * | `DELETE /edge/v1/webhook_endpoints/{id}` |               | `WebhookEndpointDeleted` |
 * | `POST /edge/v1/webhook_endpoints/{id}/rotate_secret` | `RotateSecret` | `WebhookEndpoint` with its new secret |
 * | `POST /edge/v1/webhook_endpoints/{id}/test` |            | `WebhookDelivery` |
 * | `POST /edge/v1/webhook_endpoints/{id}/replay` | `ReplayWebhooks` | `WebhookReplay` |
 * | `POST /edge/v1/webhook_secret/rotate`  | `RotateSecret`  | `WebhookSecret` |
 * | `GET /edge/v1/webhook_deliveries?limit&order&after&webhook_endpoint_id&status` | | `WebhookDeliveryList` |
 * | `GET /edge/v1/webhook_deliveries/{id}` |                 | `WebhookDelivery` |
 * | `POST /edge/v1/webhook_deliveries/{id}/redeliver` |      | `WebhookDelivery` |
 *
 * Control plane → edge: `POST /internal/v1/push` with `Push`, answered by `PushAnswer`.
 */
import { z } from "zod";
import { CreateVideo, PromoteVideo, RemixVideo } from "./create-video.ts";
import { Event, PositionFrame, ProgressFrame } from "./event.ts";
import { CreateKey, Sha256Hex, VideoId } from "./id.ts";
import { SNAPSHOT_VIDEOS_MAX, SnapshotFrame } from "./live-session.ts";

/** What the edge holds an account to, from its tier. */
export const TierLimits = z.object({
  tier: z.string(),
  creates_per_minute: z.int().positive(),
  creates_burst: z.int().positive(),
  /** Of all calls but creates. */
  reads_per_minute: z.int().positive(),
  reads_burst: z.int().positive(),
  /** Told, not held to: more are taken and wait. */
  max_running: z.int().nonnegative(),
});
export type TierLimits = z.infer<typeof TierLimits>;

export const KeyCheck = z.strictObject({ key_sha256: Sha256Hex });
export const KeyAnswer = z.object({ key_id: z.string(), limits: TierLimits });
export type KeyAnswer = z.infer<typeof KeyAnswer>;

/** The client's `Idempotency-Key`, hashed, and what it stands for: the SHA-256 of the fields as they were read. */
/** `key_sha256` is of the route and the key that the client gave. */
export const IdempotencyClaim = z.strictObject({ key_sha256: Sha256Hex, fingerprint: Sha256Hex });
export type IdempotencyClaim = z.infer<typeof IdempotencyClaim>;

export const SubmitVideo = z.strictObject({
  create_key: CreateKey,
  video: CreateVideo,
  idempotency: IdempotencyClaim.optional(),
});
export type SubmitVideo = z.infer<typeof SubmitVideo>;

export const SubmitRemix = z.strictObject({
  create_key: CreateKey,
  remix: RemixVideo,
  idempotency: IdempotencyClaim.optional(),
});
export type SubmitRemix = z.infer<typeof SubmitRemix>;

export const SubmitPromote = z.strictObject({
  create_key: CreateKey,
  promote: PromoteVideo,
  idempotency: IdempotencyClaim.optional(),
});
export type SubmitPromote = z.infer<typeof SubmitPromote>;

/** Without the reference's bytes: the edge has checked them, and no price depends on them. */
export const EstimateVideo = z.strictObject({ video: CreateVideo });
export type EstimateVideo = z.infer<typeof EstimateVideo>;

export const EVENT_PAGE_MAX = 200;
export const EventPage = z.object({ events: z.array(Event), has_more: z.boolean() });
export type EventPage = z.infer<typeof EventPage>;

/** A subscription makes the control plane push; it lapses unless renewed. */
export const SUBSCRIPTION_LEASE_MS = 60_000;
export const Subscribe = z.strictObject({ live: z.boolean() });
export const SubscriptionAnswer = z.object({ last_sequence_number: z.int().nonnegative() });
export type SubscriptionAnswer = z.infer<typeof SubscriptionAnswer>;

/** null: the account's unfinished videos. */
export const AskSnapshot = z.strictObject({ video_ids: z.array(VideoId).max(SNAPSHOT_VIDEOS_MAX).nullable() });
export type AskSnapshot = z.infer<typeof AskSnapshot>;
/** The number is read before the videos: they are at least as new. */
export const SnapshotAnswer = SnapshotFrame.omit({ type: true });
export type SnapshotAnswer = z.infer<typeof SnapshotAnswer>;

export const PUSH_ITEMS_MAX = 200;
/** Items are in order; an object that finds a gap in the numbers pulls `GET /edge/v1/events`. */
export const Push = z.object({
  items: z
    .array(
      z.discriminatedUnion("kind", [
        z.object({ kind: z.literal("event"), event: Event }),
        z.object({ kind: z.literal("progress"), frame: ProgressFrame }),
        z.object({ kind: z.literal("position"), frame: PositionFrame }),
        z.object({ kind: z.literal("key_revoked"), key_sha256: Sha256Hex }),
      ]),
    )
    .max(PUSH_ITEMS_MAX),
});
export type Push = z.infer<typeof Push>;

/** `live: false` ends the subscription: the object has no socket left. */
export const PushAnswer = z.object({ live: z.boolean() });
