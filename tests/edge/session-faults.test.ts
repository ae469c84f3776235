import { abortAllDurableObjects, evictDurableObject } from "cloudflare:test";
import { afterEach, expect, test, vi } from "vitest";
import type { Push } from "#protocol/edge-call.ts";
import { ControlPlaneStandIn } from "./control-plane-stand-in.ts";
import { arrive } from "./customer.ts";
import type { LiveSession } from "./live-session.ts";
import { event } from "./sample.ts";

const ACCOUNTS = 10;
const SESSIONS_EACH = 20;
const EVENTS = 48;
const ABORT_EVERY = 16;

afterEach(() => {
  vi.restoreAllMocks();
});

type Customer = Awaited<ReturnType<typeof arrive>>;

/** Draws the same numbers in every run. */
function draws(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 1) / 2 ** 31;
}

/** A client that comes back with its cursor whenever it is cut. */
class Watcher {
  readonly numbers: number[] = [];
  cuts = 0;
  readonly #customer: Customer;
  #session: LiveSession | null = null;

  constructor(customer: Customer) {
    this.#customer = customer;
  }

  get isOpen(): boolean {
    return this.#session !== null;
  }

  /** Resolves once it has heard of `last`. */
  async until(last: number): Promise<void> {
    while ((this.numbers.at(-1) ?? 0) < last) {
      // An abort may meet the handshake too.
      this.#session ??= await this.#customer.listen(`?starting_after=${this.numbers.at(-1) ?? 0}`).catch(() => null);
      const number = await this.#next();
      if (number === null) {
        this.#session = null;
        this.cuts += 1;
      } else this.numbers.push(number);
    }
  }

  /** null: the socket is gone, and all that it brought was heard. */
  async #next(): Promise<number | null> {
    const session = this.#session;
    if (session === null) return null;
    const ended = Symbol("ended");
    const first = await Promise.race([session.numbers(1), session.closed.then(() => ended)]);
    return Array.isArray(first) ? (first[0] ?? null) : null;
  }
}

test("200 sessions hear every event once, in order, while their objects are evicted and aborted and pushes are lost", async () => {
  vi.spyOn(console, "warn").mockReturnValue();
  const draw = draws(20_261_129);
  const controlPlane = new ControlPlaneStandIn();
  controlPlane.pageSize = 7;
  const customers = await Promise.all(Array.from({ length: ACCOUNTS }, () => arrive(controlPlane)));
  const watchers = customers.flatMap((customer) => Array.from({ length: SESSIONS_EACH }, () => new Watcher(customer)));
  const heard = watchers.map((watcher) => watcher.until(EVENTS));
  await vi.waitFor(() => expect(watchers.every(({ isOpen }) => isOpen)).toBe(true), { timeout: 30_000 });
  let evictions = 0;
  for (let number = 1; number <= EVENTS; number++) {
    controlPlane.log.push(event(number));
    const items: Push["items"] = [{ kind: "event", event: event(number) }];
    await Promise.all(
      customers.map(async (customer) => {
        // One that was just aborted does not run yet.
        if (draw() < 0.1)
          await evictDurableObject(customer.object).then(
            () => (evictions += 1),
            () => undefined,
          );
        // Some pushes are lost, and some come twice; the last one is kept, so that every gap is found out.
        const times = number === EVENTS || draw() > 0.2 ? 1 + Math.floor(draw() * 2) : 0;
        for (let n = 0; n < times; n++) await customer.push(items).catch(() => undefined);
      }),
    );
    if (number % ABORT_EVERY === 0) await abortAllDurableObjects();
  }
  await Promise.all(heard);
  const whole = Array.from({ length: EVENTS }, (_, index) => index + 1);
  for (const { numbers } of watchers) expect(numbers).toEqual(whole);
  expect(evictions).toBeGreaterThan(EVENTS / 4);
  expect(watchers.reduce((cuts, watcher) => cuts + watcher.cuts, 0)).toBeGreaterThan(ACCOUNTS * SESSIONS_EACH);
}, 120_000);
