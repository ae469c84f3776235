/** One client of a live session in the storm: it keeps the log it was told, and how long it took to go on after each cut. */
import { EventSession, type EventSessionHost } from "#cli/event-session.ts";
import type { ApiAccess } from "#cli/video-client.ts";

/** Its clients are all that this edge has. */
const RECONNECT_MS = 1_000;

export class Watcher {
  readonly account: string;
  /** Ids of the events, in the order in which they came. */
  readonly ids: string[] = [];
  readonly resumedMs: number[] = [];
  readonly awayMs: number[] = [];
  readonly endedBy: number[] = [];
  duplicates = 0;
  gaps = 0;
  snapshots = 0;
  resyncs = 0;
  refusals: string[] = [];
  /** The cursor that the first hello gave. */
  from: number | null = null;
  last = 0;
  readonly #session: EventSession;
  #openedAtMs = 0;
  #cutAtMs: number | null = null;
  #isCaughtUp = false;

  constructor(api: ApiAccess, account: string) {
    this.account = account;
    const host: EventSessionHost = {
      opened: () => (this.#openedAtMs = performance.now()),
      cut: (code, status) => {
        this.endedBy.push(status === 0 ? code : status);
        this.#isCaughtUp = false;
        this.#cutAtMs ??= performance.now();
      },
      refused: (why) => this.refusals.push(why),
      heard: (frame) => {
        if (frame.type === "hello" && this.from === null) {
          this.from = frame.last_sequence_number;
          this.last = this.from;
        } else if (frame.type === "snapshot") this.snapshots += 1;
        else if (frame.type === "resync") this.resyncs += 1;
        else if (frame.type === "caught_up") this.#caughtUp();
        else if ("object" in frame && "sequence_number" in frame) this.#count(frame.sequence_number, frame.id);
      },
    };
    this.#session = new EventSession(api, host, { withinMs: RECONNECT_MS });
  }

  get isCaughtUp(): boolean {
    return this.#isCaughtUp;
  }

  drop(): void {
    this.#session.drop();
  }

  close(): void {
    this.#session.close();
  }

  #count(number: number, id: string): void {
    if (number <= this.last) this.duplicates += 1;
    else this.gaps += number - this.last - 1;
    this.last = Math.max(this.last, number);
    this.ids.push(id);
  }

  #caughtUp(): void {
    this.#isCaughtUp = true;
    if (this.#cutAtMs === null) return;
    this.resumedMs.push(performance.now() - this.#openedAtMs);
    this.awayMs.push(performance.now() - this.#cutAtMs);
    this.#cutAtMs = null;
  }
}
