/**
 * Brings the account's event log to its sockets, each from its own cursor: a snapshot, what it missed, what happens.
 *
 * `known` is the highest number heard of. A socket below it lags; one loop at a time gives newcomers their snapshot and reads
 * the log, page by page, from the lowest cursor, and serves every socket the page reaches. Replay, a gap in the pushes and a
 * lapsed subscription are thus the same case, and no socket ever sees a number twice or out of order. A socket that does not
 * lag is served by the pushes themselves. Ephemeral frames go to live sockets that do not lag, so progress never overtakes
 * a replay.
 */
import { EVENT_PAGE_MAX, EventPage, type Push, SnapshotAnswer } from "#protocol/edge-call.ts";
import type { Event, PositionFrame, ProgressFrame } from "#protocol/event.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import type { SnapshotFrame } from "#protocol/live-session.ts";
import { askControlPlane } from "../control-plane-call.ts";
import { type Decision, nextPageAfter, onPage, onPush } from "../core/event-cursor.ts";
import type { Config } from "../env.ts";
import type { LiveSocket } from "./live-socket.ts";

/** Positions are told once a second: a snapshot that is younger is as good as a new one. */
const SHARED_MS = 1_000;

type Owed = { readonly kind: "snapshots" } | { readonly kind: "page"; readonly after: number };

export class LiveFeed {
  readonly #config: Config;
  readonly #sockets: () => readonly LiveSocket[];
  #known = 0;
  #catchingUp: Promise<void> | null = null;
  /** The account's last snapshot, and when it was asked for. */
  #kept: { readonly frame: SnapshotFrame; readonly atMs: number } | null = null;

  constructor(config: Config, sockets: () => readonly LiveSocket[]) {
    this.#config = config;
    this.#sockets = sockets;
  }

  get known(): number {
    return this.#known;
  }

  /** Hears that the log reaches `sequenceNumber`. */
  learn(sequenceNumber: number): void {
    this.#known = Math.max(this.#known, sequenceNumber);
  }

  /** Answers when every socket has what the push brought, so a fault makes the control plane push again. */
  async push(account: AccountId, items: Push["items"]): Promise<void> {
    const sockets = this.#sockets();
    for (const item of items) {
      if (item.kind === "event") {
        const { event } = item;
        this.#serve(sockets, event, (cursor) => onPush(cursor, event.sequence_number));
      }
      if (item.kind === "progress" || item.kind === "position") this.#show(sockets, item.frame);
    }
    await this.catchUp(account);
  }

  catchUp(account: AccountId): Promise<void> {
    if (this.#catchingUp === null && this.#owed() !== null) this.#catchingUp = this.#bringUp(account);
    return this.#catchingUp ?? Promise.resolve();
  }

  async #bringUp(account: AccountId): Promise<void> {
    try {
      for (let owed = this.#owed(); owed !== null; owed = this.#owed()) {
        if (owed.kind === "snapshots") await this.#giveSnapshots(account);
        else await this.#readPage(account, owed.after);
      }
    } finally {
      // In the same turn as the last look, so nobody who learned more meanwhile joins a loop that already ended.
      this.#catchingUp = null;
    }
  }

  /** What is to be fetched next, after those who have everything were told so. */
  #owed(): Owed | null {
    const sockets = this.#sockets();
    if (sockets.some(({ state }) => state.phase === "snapshot")) return { kind: "snapshots" };
    const known = sockets.reduce((high, { state }) => Math.max(high, state.through), this.#known);
    for (const socket of sockets) {
      if (socket.state.phase === "replay" && socket.state.cursor >= known) socket.caughtUp();
    }
    const after = nextPageAfter(
      sockets.map(({ state }) => state.cursor),
      known,
    );
    return after === null ? null : { kind: "page", after };
  }

  async #giveSnapshots(account: AccountId): Promise<void> {
    const waiting = this.#sockets().filter(({ state }) => state.phase === "snapshot");
    const filters = new Map(waiting.map(({ filter, state }) => [filter, state.videoIds]));
    const given = await Promise.all(
      [...filters].map(async ([filter, videoIds]) => {
        const through = Math.max(
          ...waiting.filter((socket) => socket.filter === filter).map(({ state }) => state.through),
        );
        const frame = await this.#snapshotOf(account, videoIds, through);
        let count = 0;
        for (const socket of this.#sockets()) {
          const { phase, through } = socket.state;
          if (phase !== "snapshot" || socket.filter !== filter) continue;
          // One that came while this was read may begin after it: what lies between it would never hear of.
          if (frame.last_sequence_number < through) continue;
          socket.snapshot(frame);
          count += 1;
        }
        return count;
      }),
    );
    const still = this.#sockets().some(({ state }) => state.phase === "snapshot");
    if (still && given.every((count) => count === 0)) throw new Error("the snapshot is older than the log");
  }

  /** Those who come back together, after a restart of ours, share the account's: as new as the log, and as any frame is. */
  async #snapshotOf(account: AccountId, videoIds: readonly VideoId[] | null, through: number): Promise<SnapshotFrame> {
    const kept = this.#kept;
    const isNew = kept !== null && kept.frame.last_sequence_number >= through && Date.now() - kept.atMs < SHARED_MS;
    if (videoIds === null && isNew) return kept.frame;
    const atMs = Date.now();
    const frame = await this.#readSnapshot(account, videoIds);
    if (videoIds === null) this.#kept = { frame, atMs };
    return frame;
  }

  async #readSnapshot(account: AccountId, videoIds: readonly VideoId[] | null): Promise<SnapshotFrame> {
    const call = { method: "POST", path: "/edge/v1/snapshot", account, repeatable: true } as const;
    const answer = await askControlPlane({ ...call, body: { video_ids: videoIds } }, this.#config);
    if (!answer.ok) throw new Error(`POST ${call.path} answered ${answer.status}`);
    return { type: "snapshot", ...SnapshotAnswer.parse(await answer.json()) };
  }

  async #readPage(account: AccountId, after: number): Promise<void> {
    const path = `/edge/v1/events?after=${after}&limit=${EVENT_PAGE_MAX}`;
    const answer = await askControlPlane({ method: "GET", path, account, repeatable: true }, this.#config);
    if (!answer.ok) throw new Error(`GET ${path} answered ${answer.status}`);
    const page = EventPage.parse(await answer.json());
    // Never skipped in silence: whoever asked tries again.
    if (page.events.length === 0) throw new Error(`GET ${path} is empty, but the log reaches ${this.#known}`);
    const sockets = this.#sockets();
    for (const event of page.events) {
      this.#serve(sockets, event, (cursor) => onPage(cursor, after, event.sequence_number));
    }
  }

  #serve(sockets: readonly LiveSocket[], event: Event, decide: (cursor: number) => Decision): void {
    this.learn(event.sequence_number);
    const text = JSON.stringify(event);
    for (const socket of sockets) {
      const { phase, cursor } = socket.state;
      if (phase !== "snapshot" && decide(cursor) === "deliver") socket.deliver(event, text);
    }
  }

  #show(sockets: readonly LiveSocket[], frame: ProgressFrame | PositionFrame): void {
    const text = JSON.stringify(frame);
    for (const socket of sockets) {
      const { phase, cursor } = socket.state;
      if (phase === "live" && cursor >= this.#known) socket.show(frame, text);
    }
  }
}
