/**
 * Live sessions: the frames between a client and its account's object beside the events themselves, browser tickets and
 * close codes. `docs/live-sessions.md` tells users of the API how they fit together.
 *
 * A session says, in this order: `hello`; `resync` if the log cannot go on from where the client stood; `snapshot`; the
 * events after the client's cursor; `caught_up`; then everything as it happens.
 */
import { z } from "zod";
import { Event, PositionFrame, ProgressFrame } from "./event.ts";
import { AccountId, VideoId } from "./id.ts";
import { Video } from "./video.ts";

/** The WebSocket subprotocol, optional for clients with a key, echoed when asked for. */
export const EVENTS_SUBPROTOCOL = "callsheet.v1";
/** Offered beside it by browsers, with a ticket behind it; never echoed. */
export const TICKET_SUBPROTOCOL = "callsheet.ticket.";

/** Events one session may ask to have replayed; who was away for longer is resynchronised. */
export const REPLAY_EVENTS_MAX = 5_000;
export const SNAPSHOT_VIDEOS_MAX = 100;
export const TICKET_MS = 60_000;
/** A session that a ticket opened ends after this; the page's owner decides whether it gets another ticket. */
export const TICKET_SESSION_MS = 3_600_000;
/** How often a client says `ping`; the answer `pong` costs nobody anything. */
export const PING_MS = 25_000;

export const HelloFrame = z.object({
  type: z.literal("hello"),
  session_id: z.string(),
  last_sequence_number: z.int().nonnegative(),
  /** So many of the account's last events can be replayed. */
  replay_window: z.int().positive(),
});
export type HelloFrame = z.infer<typeof HelloFrame>;

/** Where one video stands: the part of it that changes. */
export const VideoStanding = Video.pick({
  id: true,
  status: true,
  progress: true,
  completed_at: true,
  error: true,
  scheduler: true,
});
export type VideoStanding = z.infer<typeof VideoStanding>;

/** Events up to `last_sequence_number` are contained; those of the replay may tell older news again. */
export const SnapshotFrame = z.object({
  type: z.literal("snapshot"),
  last_sequence_number: z.int().nonnegative(),
  /** The oldest unfinished ones; of the subscribed ones all that exist. */
  videos: z.array(VideoStanding).max(SNAPSHOT_VIDEOS_MAX),
  has_more: z.boolean(),
});
export type SnapshotFrame = z.infer<typeof SnapshotFrame>;

/** Why the log does not go on where the client stood: too much happened since, or the log was never that far. */
export const ResyncReason = z.enum(["cursor_too_old", "cursor_ahead"]);
export type ResyncReason = z.infer<typeof ResyncReason>;

/** The log goes on after `from`; what lies before is only in the snapshot and in `GET /v1/videos`. */
export const ResyncFrame = z.object({
  type: z.literal("resync"),
  from: z.int().nonnegative(),
  reason: ResyncReason,
});
export type ResyncFrame = z.infer<typeof ResyncFrame>;

/** The replay is over. A client with a filter takes this number as its cursor: it counts events it was not sent. */
export const CaughtUpFrame = z.object({
  type: z.literal("caught_up"),
  sequence_number: z.int().nonnegative(),
});
export type CaughtUpFrame = z.infer<typeof CaughtUpFrame>;

export const SessionFrame = z.discriminatedUnion("type", [
  HelloFrame,
  ResyncFrame,
  SnapshotFrame,
  CaughtUpFrame,
  Event,
  ProgressFrame,
  PositionFrame,
]);
export type SessionFrame = z.infer<typeof SessionFrame>;

/** What a client may send: where to replay from, and which videos it cares for (all, if absent). */
export const SubscribeFrame = z.strictObject({
  type: z.literal("subscribe"),
  starting_after: z.int().nonnegative().optional(),
  video_ids: z.array(VideoId).max(SNAPSHOT_VIDEOS_MAX).optional(),
});
export type SubscribeFrame = z.infer<typeof SubscribeFrame>;

/** WebSocket close codes: 40xx stop, 41xx back off, 42xx reconnect now (`reconnect.ts`). */
export const CLOSE = {
  /** The key, or the key that made the ticket, was revoked. */
  unauthorized: 4001,
  /** The client said what nobody may say. */
  forbidden: 4003,
  /** The client itself opened another session in this one's place. */
  replaced: 4009,
  overload: 4100,
  /** The client does not read what it is sent. */
  slowConsumer: 4101,
  /** Kept for an edge that is about to be replaced. */
  deploy: 4200,
  /** The ticket's hour is over. */
  ticketRotated: 4201,
} as const;

export const CreateSession = z.strictObject({
  /** Only pages of this origin can use the ticket. */
  origin: z
    .url({ protocol: /^https?$/ })
    .refine((text) => new URL(text).origin === text, "must be an origin such as 'https://app.example.com'")
    .optional(),
});
export type CreateSession = z.infer<typeof CreateSession>;

export const SessionTicket = z.object({
  object: z.literal("session.ticket"),
  ticket: z.string(),
  expires_at: z.int(),
});
export type SessionTicket = z.infer<typeof SessionTicket>;

const TICKET = /^ct_([0-9a-z]{16})_[0-9a-f]{32}$/;

/** A ticket names its account, so that the edge knows whose object to ask. */
export function ticketOf(account: AccountId, secretHex: string): string {
  return `ct_${account.slice("acct_".length)}_${secretHex}`;
}

export function accountOfTicket(ticket: string): AccountId | null {
  const ref = TICKET.exec(ticket)?.[1];
  return ref === undefined ? null : AccountId.parse(`acct_${ref}`);
}
