/**
 * Pushes an account's log to its live sessions at the edge: the one sender, run by the leader.
 *
 * Numbered events come from Postgres and are sent until acknowledged; progress and positions come from memory, newest
 * only, at most twice a second, and may be lost.
 */
import type { Explanation } from "#control-plane/core/job-view.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { endSubscription, recordSent, subscriptions, unsentEvents } from "#control-plane/usecase/live-session.ts";
import type { Subscription } from "#control-plane/usecase/live-session.ts";
import type { Push } from "#protocol/edge-call.ts";
import { PUSH_ITEMS_MAX } from "#protocol/edge-call.ts";
import type { Event } from "#protocol/event.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import type { ShownProgress } from "./progress-recorder.ts";
import { Ticker } from "./ticker.ts";
import type { LoopHost, Service } from "./ticker.ts";

const POLL_MS = 50;
const EPHEMERAL_MS = 500;
const POSITION_MS = 1_000;
const POSITIONS_MAX = 100;
const EVENTS_MAX = 50;

type Item = Push["items"][number];

export interface EdgeSenderHost extends LoopHost {
  /** Delivers one push; false if the account has no socket left. Throws if the edge cannot be reached. */
  push(account: AccountId, push: Push): Promise<boolean>;
  waitingOf(account: AccountId): readonly VideoId[];
  explain(job: VideoId): Explanation;
}

interface Lane {
  progress: Map<VideoId, ShownProgress>;
  progressSentAtMs: number;
  positionsSentAtMs: number;
  /** What was last shown, so that only changes are sent. */
  positions: Map<VideoId, string>;
  busy: boolean;
}

export class EdgeSender implements Service {
  readonly #sql: Sql;
  readonly #host: EdgeSenderHost;
  readonly #ticker: Ticker;
  readonly #lanes = new Map<AccountId, Lane>();

  constructor(sql: Sql, host: EdgeSenderHost) {
    this.#sql = sql;
    this.#host = host;
    this.#ticker = new Ticker("edge-sender", POLL_MS, host, () => this.#turn());
  }

  start(): void {
    this.#ticker.start();
  }

  stop(): Promise<void> {
    return this.#ticker.stop();
  }

  wake(): void {
    this.#ticker.wake();
  }

  /** Kept only for accounts that somebody watches. */
  show(shown: readonly ShownProgress[]): void {
    for (const progress of shown) this.#lanes.get(progress.account)?.progress.set(progress.job, progress);
  }

  async #turn(): Promise<void> {
    const live = await subscriptions(this.#sql);
    const accounts = new Set(live.map((subscription) => subscription.accountId));
    for (const account of this.#lanes.keys()) if (!accounts.has(account)) this.#lanes.delete(account);
    for (const seen of live) {
      const { accountId } = seen;
      const lane = this.#laneOf(accountId);
      // A slow account waits for its own push only.
      if (lane.busy) continue;
      lane.busy = true;
      this.#serve(seen, lane)
        .catch((error: unknown) =>
          this.#host.log.info({ account: accountId, err: error }, "a push to the edge failed; it will be repeated"),
        )
        .finally(() => (lane.busy = false));
    }
  }

  async #serve(seen: Subscription, lane: Lane): Promise<void> {
    const { accountId: account, sentThrough, last } = seen;
    // Progress is taken before the events are read: an `in_progress` that precedes it is then always in the batch.
    const progress = this.#takeProgress(lane);
    const events = last > sentThrough ? await unsentEvents(this.#sql, account, sentThrough, EVENTS_MAX) : [];
    // What is over shows no older progress later.
    for (const event of events) {
      const ended = endedBy(event);
      if (ended !== null) lane.progress.delete(ended);
    }
    const items = [...itemsOf(events, progress), ...this.#positionItems(account, lane)].slice(0, PUSH_ITEMS_MAX);
    if (items.length === 0) return;
    if (!(await this.#host.push(account, { items }))) return endSubscription(this.#sql, seen);
    const through = events.at(-1)?.sequence_number;
    if (through !== undefined) await recordSent(this.#sql, account, through);
  }

  #takeProgress(lane: Lane): ReadonlyMap<VideoId, ShownProgress> {
    const nowMs = this.#host.clock.monotonicMs();
    if (lane.progress.size === 0 || nowMs - lane.progressSentAtMs < EPHEMERAL_MS) return new Map();
    const taken = lane.progress;
    lane.progress = new Map();
    lane.progressSentAtMs = nowMs;
    return taken;
  }

  #positionItems(account: AccountId, lane: Lane): readonly Item[] {
    const nowMs = this.#host.clock.monotonicMs();
    if (nowMs - lane.positionsSentAtMs < POSITION_MS) return [];
    lane.positionsSentAtMs = nowMs;
    const items: Item[] = [];
    const positions = new Map<VideoId, string>();
    for (const id of this.#host.waitingOf(account).slice(0, POSITIONS_MAX)) {
      const { position, eta, blockedBy } = this.#host.explain(id);
      if (position === null) continue;
      const data = { id, position, eta, blocked_by: blockedBy };
      const text = JSON.stringify(data);
      positions.set(id, text);
      if (lane.positions.get(id) === text) continue;
      items.push({ kind: "position", frame: { object: "event", type: "video.queue_position", data } });
    }
    lane.positions = positions;
    return items;
  }

  #laneOf(account: AccountId): Lane {
    return this.#lanes.getOrInsertComputed(account, () => ({
      progress: new Map(),
      progressSentAtMs: -Infinity,
      positionsSentAtMs: -Infinity,
      positions: new Map(),
      busy: false,
    }));
  }
}

/** Events in order, then progress; a completion is preceded by its 100 %, and what has ended shows no older progress. */
export function itemsOf(events: readonly Event[], progress: ReadonlyMap<VideoId, ShownProgress>): readonly Item[] {
  const over = new Set<VideoId>();
  const items: Item[] = [];
  for (const event of events) {
    const ended = endedBy(event);
    if (ended !== null) {
      if (event.type === "video.completed") items.push(progressItem(ended, 100, "done"));
      over.add(ended);
    }
    items.push({ kind: "event", event });
  }
  for (const shown of progress.values()) {
    if (!over.has(shown.job)) items.push(progressItem(shown.job, shown.progress, shown.stage));
  }
  return items;
}

/** The video that this event says is over. */
function endedBy({ data }: Event): VideoId | null {
  return "status" in data && (data.status === "completed" || data.status === "failed") ? data.id : null;
}

function progressItem(id: VideoId, progress: number, stage: string): Item {
  return { kind: "progress", frame: { object: "event", type: "video.progress", data: { id, progress, stage } } };
}
