/**
 * The object store behind its signed URLs. A PUT shows nothing before its last byte; a broken one leaves nothing. It can be
 * slow, refuse, break off, lose its answer, and hold an object whose bytes went bad.
 */
import { Readable } from "node:stream";
import { StoreUrls, STORE_PATH } from "#control-plane/store/store-url.ts";
import type { ArtifactStore, PutOutcome, StoredObject } from "#control-plane/store/artifact-store.ts";
import type { Sha256Hex } from "#protocol/id.ts";
import type { Chance } from "../kernel/chance.ts";
import type { Kernel } from "../kernel/kernel.ts";
import { EPOCH_MS, Process } from "../kernel/process.ts";
import type { Process as Caller } from "../kernel/process.ts";
import type { Network } from "./network.ts";
import { hashOf } from "./rendering.ts";
import type { Rendering } from "./rendering.ts";

export const STORE_SECRET = "secret-of-the-simulated-store";
const BYTES_PER_MS = 2_000;

/** What the store holds under that key is damaged. */
export class WrongBytesError extends Error {
  override readonly name = "WrongBytesError";
}

export interface StoreFaults {
  slowMs: number;
  /** Of requests: answered 503. */
  refused: number;
  /** Of PUTs: broken off half way. */
  broken: number;
  /** Of PUTs: done, and the answer is lost. */
  answerLost: number;
  /** Of checkpoints: their bytes go bad after a while. */
  corrupted: number;
}

export const NO_STORE_FAULTS: StoreFaults = { slowMs: 0, refused: 0, broken: 0, answerLost: 0, corrupted: 0 };

interface Kept {
  readonly rendering: Rendering;
  readonly sha256: Sha256Hex;
  readonly bytes: number;
}

export class SimulatedStore {
  faults: StoreFaults = { ...NO_STORE_FAULTS };
  readonly objects = new Map<string, Kept>();
  readonly process: Process;
  readonly #kernel: Kernel;
  readonly #chance: Chance;
  readonly #network: Network;
  readonly #urls = new StoreUrls("http://store.sim", STORE_SECRET);

  constructor(kernel: Kernel, network: Network) {
    this.#kernel = kernel;
    this.#network = network;
    this.#chance = kernel.chance.fork("store");
    this.process = new Process(kernel, "store", 0);
  }

  /** Rejects if it cannot be said to be there. */
  async put(caller: Caller, url: string, rendering: Rendering, sha256: Sha256Hex, bytes: number): Promise<void> {
    await this.#serve(caller, `PUT ${bytes}`, async () => {
      const key = this.#keyOf("PUT", url);
      await this.#pause(bytes / BYTES_PER_MS);
      if (!caller.alive || this.#chance.happens(this.faults.broken)) throw new Error("the body broke off");
      if (hashOf(rendering) !== sha256) throw new Error("wrong hash");
      this.objects.set(key, { rendering, sha256, bytes });
      if (this.#chance.happens(this.faults.answerLost)) throw new Error("the answer was lost");
      if (key.endsWith(".safetensors") && this.#chance.happens(this.faults.corrupted)) this.#corrupt(key);
    });
  }

  async get(caller: Caller, url: string, sha256: Sha256Hex): Promise<Rendering> {
    return this.#serve(caller, "GET", async () => {
      const found = this.objects.get(this.#keyOf("GET", url));
      await this.#pause(this.#chance.between(1, 20));
      if (found === undefined) throw new Error("GET was answered 404");
      if (found.sha256 !== sha256 || hashOf(found.rendering) !== sha256)
        throw new WrongBytesError("not the announced bytes");
      return found.rendering;
    });
  }

  /** As a replica holds it. */
  viewOf(replica: Caller): ArtifactStore {
    const stat = (key: string): Promise<StoredObject | null> =>
      this.#serve(replica, "stat", () => {
        const found = this.objects.get(key);
        return Promise.resolve(found === undefined ? null : { checksum: null, bytes: found.bytes });
      });
    const remove = (key: string) =>
      this.#serve(replica, "remove", () => {
        this.objects.delete(key);
        return Promise.resolve();
      });
    const put = (): Promise<PutOutcome> => Promise.reject(new Error("replicas put nothing"));
    return { stat, remove, put, read: () => Readable.from([]) };
  }

  #corrupt(key: string): void {
    this.#kernel.after(this.#chance.between(0, 5_000), this.process, `corrupt ${key}`, () => {
      const kept = this.objects.get(key);
      if (kept !== undefined) this.objects.set(key, { ...kept, rendering: { ...kept.rendering, value: 0 } });
    });
  }

  async #serve<Answer>(caller: Caller, label: string, act: () => Promise<Answer>): Promise<Answer> {
    return this.#network.call(caller, this.process, `store ${label}`, async () => {
      await this.#pause(this.faults.slowMs === 0 ? 0 : this.#chance.between(0, this.faults.slowMs));
      if (this.#chance.happens(this.faults.refused)) throw new Error("answered 503");
      return act();
    });
  }

  #pause(ms: number): Promise<void> {
    if (ms === 0) return Promise.resolve();
    return new Promise((resolve) => this.#kernel.after(ms, this.process, "store works", resolve));
  }

  #keyOf(method: "GET" | "PUT", text: string): string {
    const url = new URL(text);
    const key = url.pathname.slice(STORE_PATH.length);
    const nowMs = Math.floor(EPOCH_MS + this.#kernel.nowMs);
    if (this.#urls.verify(method, key, url.searchParams, nowMs) === null) throw new Error(`${method} was answered 403`);
    return key;
  }
}
