/**
 * The operator's moderation hook, in studios that have one. What it says of a video goes by the video alone, whoever asks and
 * however often; sometimes it is slow, and sometimes it says nothing.
 */
import type { ResultToJudge, Verdict } from "#control-plane/core/moderation.ts";
import type { VideoId } from "#protocol/id.ts";
import { Chance } from "../kernel/chance.ts";
import type { Process } from "../kernel/process.ts";

const STUDIOS_WITH_ONE = 0.5;
const SILENT = 0.2;
const SLOW_MS = 8_000;
const POLICY = "policy-1";

export class SimulatedHook {
  /** Of results; false: this studio has no hook. */
  readonly reviews: boolean;
  readonly #chance: Chance;

  constructor(seed: number) {
    this.#chance = new Chance(seed ^ 0x70d0);
    this.reviews = this.#chance.happens(STUDIOS_WITH_ONE);
  }

  /** Every eighth video may not be shown. */
  forbids(video: VideoId): boolean {
    return this.reviews && Number.parseInt(video.slice(-1), 16) % 8 === 7;
  }

  async judge(caller: Process, { video }: ResultToJudge): Promise<Verdict | null> {
    const ms = this.#chance.happens(0.2) ? SLOW_MS : this.#chance.between(1, 300);
    await new Promise<void>((resolve) => caller.clock.after(ms, resolve));
    if (!this.reviews || this.#chance.happens(SILENT)) return null;
    return this.forbids(video)
      ? { allowed: false, policy: POLICY, reason: "forbidden" }
      : { allowed: true, policy: POLICY };
  }
}
