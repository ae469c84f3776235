/**
 * A user's program: it submits, asks again with the same create key when it does not know what came of it, reads and
 * cancels. It keeps what it was told, for the checker.
 */
import { cancelVideo, deleteVideo } from "#control-plane/usecase/change-video.ts";
import { setSubscription } from "#control-plane/usecase/live-session.ts";
import { promoteVideo } from "#control-plane/usecase/promote-video.ts";
import { submitJob } from "#control-plane/usecase/submit-job.ts";
import { findVideo } from "#control-plane/db/jobs.ts";
import { CreateKey, RequestId } from "#protocol/id.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import type { Chance } from "../kernel/chance.ts";
import type { Process } from "../kernel/process.ts";
import type { Network } from "./network.ts";
import type { Replica } from "./replica.ts";
import { STEPS_MAX } from "./studio.ts";

const ASK_AGAIN_MS = 300;
const THINK_MS = 2_500;
/** Things that one account does at a time. */
const AT_ONCE = 2;
const CANCELLED_AT_ONCE = 4;
const RENEW_MS = 20_000;

/** Of the videos, and of the moments in which a draft waits to be promoted: it may be too early, or the draft gone. */
const DRAFTED = 0.5;
const PROMOTES = 0.3;

type Asked = Pick<Parameters<typeof submitJob>[1], "account" | "requestId" | "seed" | "loadOf">;

export interface ClientHost {
  readonly network: Network;
  readonly chance: Chance;
  /** Some replica that answers now, as a load balancer would know; null: none. */
  replica(): Replica | null;
  /** The client was told that its job exists. */
  acknowledged(account: AccountId, createKey: CreateKey, job: VideoId): void;
  /** The client saw its video so. */
  saw(job: VideoId, progress: number, status: string): void;
  subscribed(account: AccountId, last: number): void;
  readonly hasGangs: boolean;
  /** It asks for drafts, and for the rest of those that it has seen completed. */
  readonly makesDrafts: boolean;
}

export class Client {
  readonly #host: ClientHost;
  readonly #process: Process;
  readonly #account: AccountId;
  readonly #jobs: VideoId[] = [];
  readonly #drafts: VideoId[] = [];
  #left: number;

  constructor(host: ClientHost, process: Process, account: AccountId, jobs: number) {
    this.#host = host;
    this.#process = process;
    this.#account = account;
    this.#left = jobs;
  }

  /** Nothing more is asked for, and nothing is under way. */
  done = false;

  start(): void {
    void this.#live();
    void Promise.all(Array.from({ length: AT_ONCE }, () => this.#work())).then(() => (this.done = true));
  }

  async #work(): Promise<void> {
    const { chance } = this.#host;
    while (this.#left > 0) {
      await this.#pause(chance.latency(THINK_MS));
      const draw = chance.unit();
      const known = this.#jobs.length === 0 ? null : chance.pick(this.#jobs);
      if (this.#drafts.length > 0 && chance.happens(PROMOTES)) await this.#promote(chance.pick(this.#drafts));
      else if (draw < 0.6 || known === null) {
        this.#left--;
        await this.#submit();
      } else if (draw < 0.75) await this.#cancel(known);
      // Its latest at once: their settlements meet at the account.
      else if (draw < 0.8) await Promise.all(this.#jobs.slice(-CANCELLED_AT_ONCE).map((id) => this.#cancel(id)));
      else if (draw < 0.82) await this.#delete(known);
      else await this.#read(known);
    }
  }

  /** Watches its account: a subscription that is renewed. */
  async #live(): Promise<void> {
    for (;;) {
      await this.#ask("subscribe", async ({ sql }) => {
        const last = await setSubscription(sql, this.#account, true);
        return () => this.#host.subscribed(this.#account, last);
      }).then(
        (told) => told(),
        () => undefined,
      );
      await this.#pause(RENEW_MS);
    }
  }

  async #submit(): Promise<void> {
    const { chance, hasGangs } = this.#host;
    const createKey = CreateKey.parse(`ck_${chance.hex(24)}`);
    const size = hasGangs && chance.happens(0.25) ? "1280x720" : "832x480";
    const video = {
      prompt: "a red fox",
      size,
      seconds: 4,
      steps: chance.whole(2, STEPS_MAX),
      seed: chance.whole(1, 1e6),
    };
    const draft = this.#host.makesDrafts && chance.happens(DRAFTED);
    await this.#make(createKey, (replica, request) =>
      submitJob(replica.sql, {
        ...request,
        submit: { create_key: createKey, video: { ...video, draft } },
        reference: null,
      }),
    );
  }

  async #promote(draft: VideoId): Promise<void> {
    const createKey = CreateKey.parse(`ck_${this.#host.chance.hex(24)}`);
    await this.#make(createKey, (replica, request) =>
      promoteVideo(replica.sql, { ...request, source: draft, submit: { create_key: createKey, promote: {} } }),
    );
  }

  /** Asks until it knows: a lost answer is no answer. */
  async #make(
    createKey: CreateKey,
    ask: (replica: Replica, request: Asked) => ReturnType<typeof submitJob>,
  ): Promise<void> {
    const { chance } = this.#host;
    for (;;) {
      try {
        const submitted = await this.#ask("submit", async (replica) => {
          const requestId = RequestId.parse(`req_${chance.hex(32)}`);
          const loadOf = await replica.outlook.read();
          const outcome = await ask(replica, { account: this.#account, requestId, seed: 1, loadOf });
          if (outcome.ok) replica.wake();
          return outcome;
        });
        if (!submitted.ok && submitted.refusal.code === "service_unavailable") throw new Error("busy");
        if (!submitted.ok) return;
        this.#jobs.push(submitted.job.id);
        if (submitted.job.stopAfter !== null) this.#drafts.push(submitted.job.id);
        this.#host.acknowledged(this.#account, createKey, submitted.job.id);
        return;
      } catch {
        await this.#pause(chance.latency(ASK_AGAIN_MS));
      }
    }
  }

  async #cancel(id: VideoId): Promise<void> {
    await this.#perhaps("cancel", async (replica) => {
      await cancelVideo(replica.sql, this.#account, id);
      replica.wake();
    });
  }

  async #delete(id: VideoId): Promise<void> {
    await this.#perhaps("delete", async (replica) => {
      await deleteVideo(replica.sql, this.#account, id);
      replica.wake();
    });
  }

  async #read(id: VideoId): Promise<void> {
    await this.#perhaps("read", async ({ sql }) => {
      const video = await findVideo(sql, this.#account, id);
      if (video !== null) this.#host.saw(id, video.job.progress, video.job.state);
    });
  }

  /** Once; an unknown outcome is left so. */
  async #perhaps(what: string, act: (replica: Replica) => Promise<void>): Promise<void> {
    try {
      await this.#ask(what, act);
    } catch {
      // It may have been done or not: the checker accepts both.
    }
  }

  async #ask<Answer>(what: string, act: (replica: Replica) => Promise<Answer>): Promise<Answer> {
    const replica = this.#host.replica();
    if (replica === null) throw new Error("no replica answers");
    return this.#host.network.call(this.#process, replica.process, what, () => act(replica));
  }

  #pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.#process.clock.after(ms, () => resolve()));
  }
}
