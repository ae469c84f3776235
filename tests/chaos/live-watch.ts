/** Clients of the account's live events, as `npm start` has one: what each heard, in its order, over all its sessions. */
import { EventSession } from "#cli/event-session.ts";
import type { Random } from "./random.ts";

interface Watched {
  readonly id: string;
  readonly apiKey: string;
}

export class LiveWatch {
  readonly account: string;
  readonly heard: number[] = [];
  /** When its last session was complete. */
  resumedAtMs = 0;
  readonly #events: EventSession;

  constructor(edgeUrl: string, account: Watched, withinMs: number, random: Random) {
    this.account = account.id;
    this.#events = new EventSession(
      { edgeUrl, apiKey: account.apiKey },
      {
        heard: (frame) => {
          if (frame.type === "caught_up") this.resumedAtMs = Date.now();
          else if ("sequence_number" in frame) this.heard.push(frame.sequence_number);
        },
        refused: () => undefined,
      },
      { startingAfter: 0, withinMs, random: () => random.unit() },
    );
  }

  get isOpen(): boolean {
    return this.#events.isOpen;
  }

  /** Numbers up to `last` that it was not told, or told again or out of order. */
  faults(last: number): { readonly missed: number; readonly doubled: number } {
    const heard = this.heard.filter((number) => number <= last);
    const missed = last - new Set(heard).size;
    const doubled = heard.filter((number, index) => index > 0 && number <= (heard[index - 1] ?? 0)).length;
    return { missed, doubled };
  }

  close(): void {
    this.#events.close();
  }
}
