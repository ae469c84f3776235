/** Protocol-true sample data for the edge's tests. */
import type { z } from "zod";
import { hashOfKey, mintKey } from "#protocol/api-key.ts";
import { Event, PositionFrame, ProgressFrame } from "#protocol/event.ts";
import { AccountId } from "#protocol/id.ts";
import { Video } from "#protocol/video.ts";

export const VIDEO_ID = `video_${"0".repeat(31)}1`;
export const OTHER_VIDEO_ID = `video_${"0".repeat(31)}2`;
const USAGE = { unit: "credits", reserved: "1", held: "1", charged: "0", released: "0" } as const;

let accounts = 0;

/** Each test has its own account, so objects and their storage never meet. */
export async function newCustomer() {
  accounts += 1;
  const account = AccountId.parse(`acct_${String(accounts).padStart(16, "0")}`);
  const key = mintKey(
    "test",
    account,
    crypto.getRandomValues(new Uint8Array(64)).map((byte) => byte % 248),
  );
  return { account, key, hash: await hashOfKey(key) };
}

export function video(part: Partial<z.input<typeof Video>> = {}): Video {
  return Video.parse({
    id: VIDEO_ID,
    object: "video",
    model: "reference",
    status: "queued",
    progress: 0,
    created_at: 1,
    completed_at: null,
    expires_at: null,
    prompt: "a red fox",
    size: "320x192",
    seconds: "1",
    remixed_from_video_id: null,
    error: null,
    metadata: {},
    scheduler: {
      state: "queued",
      tier: "free",
      class: "reference/192p/1s",
      position: 0,
      eta: null,
      blocked_by: null,
      attempts: 0,
      preemptions: 0,
      queued_at: 1,
      started_at: null,
      progress_estimated: false,
      draft: null,
      promoted_from_video_id: null,
      start_deadline_at: null,
      deadline_at: 2,
    },
    usage: { ...USAGE, refunded: "0", lots: [{ grant_id: "grant_1", amount: "1" }] },
    ...part,
  });
}

export function event(sequenceNumber: number, id: string = VIDEO_ID): Event {
  return Event.parse({
    id: `evt_${String(sequenceNumber).padStart(32, "0")}`,
    object: "event",
    type: "video.queued",
    created_at: 1,
    timestamp: "2026-11-23T00:00:00Z",
    sequence_number: sequenceNumber,
    data: { id, status: "queued", progress: 0, state: "queued", error: null, usage: USAGE },
  });
}

/** The end of a video. */
export function ending(sequenceNumber: number, id: string = VIDEO_ID): Event {
  const { data, ...envelope } = event(sequenceNumber, id);
  return Event.parse({ ...envelope, type: "video.completed", data: { ...data, status: "completed", progress: 100 } });
}

export function progress(percent: number, id: string = VIDEO_ID): ProgressFrame {
  const data = { id, progress: percent, stage: "denoise" };
  return ProgressFrame.parse({ object: "event", type: "video.progress", data });
}

export function position(place: number): PositionFrame {
  const data = { id: VIDEO_ID, position: place, eta: null, blocked_by: null };
  return PositionFrame.parse({ object: "event", type: "video.queue_position", data });
}
