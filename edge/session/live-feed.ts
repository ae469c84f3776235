/**
 * Brings the account's event log to its sockets, each from its own cursor.
 *
 * `known` is the highest number heard of. A socket below it lags; one loop at a time reads the log, page by page, from the
 * lowest cursor, and serves every socket the page reaches. Replay, a gap in the pushes and a lapsed subscription are thus
 * the same case, and no socket ever sees a number twice or out of order. A socket that does not lag is served by the
 * pushes themselves. Ephemeral frames go to sockets that do not lag, so progress never overtakes a replay.
 */
import { EVENT_PAGE_MAX, EventPage, type Push } from "#protocol/edge-call.ts";
import type { Event, PositionFrame, ProgressFrame } from "#protocol/event.ts";
import type { AccountId } from "#protocol/id.ts";
import { askControlPlane } from "../control-plane-call.ts";
import { type Decision, nextPageAfter, onPage, onPush } from "../core/event-cursor.ts";
import type { Config } from "../env.ts";
import { readSocket, sendTo, writeSocket } from "./socket-state.ts";

export class LiveFeed {
  readonly #config: Config;
  readonly #sockets: () => readonly WebSocket[];
  #known = 0;
  #catchingUp: Promise<void> | null = null;

  constructor(config: Config, sockets: () => readonly WebSocket[]) {
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
    for (const item of items) {
      if (item.kind === "event") {
        const { event } = item;
        this.#serve(event, (cursor) => onPush(cursor, event.sequence_number));
      }
      if (item.kind === "progress" || item.kind === "position") this.#pushFrame(item.frame);
    }
    await this.catchUp(account);
  }

  catchUp(account: AccountId): Promise<void> {
    if (this.#catchingUp === null && this.#nextPageAfter() !== null) this.#catchingUp = this.#readLog(account);
    return this.#catchingUp ?? Promise.resolve();
  }

  async #readLog(account: AccountId): Promise<void> {
    try {
      for (let after = this.#nextPageAfter(); after !== null; after = this.#nextPageAfter()) {
        await this.#readPage(account, after);
      }
    } finally {
      // In the same turn as the last look, so nobody who learned more meanwhile joins a loop that already ended.
      this.#catchingUp = null;
    }
  }

  async #readPage(account: AccountId, after: number): Promise<void> {
    const path = `/edge/v1/events?after=${after}&limit=${EVENT_PAGE_MAX}`;
    const answer = await askControlPlane({ method: "GET", path, account, repeatable: true }, this.#config);
    if (!answer.ok) throw new Error(`GET ${path} answered ${answer.status}`);
    const page = EventPage.parse(await answer.json());
    // Never skipped in silence: whoever asked tries again.
    if (page.events.length === 0) throw new Error(`GET ${path} is empty, but the log reaches ${this.#known}`);
    for (const event of page.events) {
      this.#serve(event, (cursor) => onPage(cursor, after, event.sequence_number));
    }
  }

  #serve(event: Event, decide: (cursor: number) => Decision): void {
    this.learn(event.sequence_number);
    for (const socket of this.#sockets()) {
      const state = readSocket(socket);
      if (decide(state.cursor) !== "deliver") continue;
      sendTo(socket, state, event);
      writeSocket(socket, { ...state, cursor: event.sequence_number });
    }
  }

  #pushFrame(frame: ProgressFrame | PositionFrame): void {
    for (const socket of this.#sockets()) {
      const state = readSocket(socket);
      if (state.cursor >= this.#known) sendTo(socket, state, frame);
    }
  }

  #nextPageAfter(): number | null {
    const cursors = this.#sockets().map((socket) => readSocket(socket).cursor);
    return nextPageAfter(cursors, this.#known);
  }
}
