/**
 * The gate before the edge's calls (`core/load-gate.ts`), as the first thing that a request meets: a call that is shed has had
 * no byte of its body read. Runners' sockets, uploads, other replicas and operators do not pass it.
 */
import { createMiddleware } from "hono/factory";
import type { Meter } from "#control-plane/core/meter.ts";
import { LoadGate } from "#control-plane/core/load-gate.ts";
import type { Moved } from "#control-plane/core/load-gate.ts";
import { renderRefusal } from "#protocol/error.ts";
import { DEADLINE_HEADER, laneOf, SHED_HEADER } from "#protocol/lane.ts";
import type { Lane } from "#protocol/lane.ts";
import { mintRequestId } from "./request-id.ts";

/** How often those who wait are looked at. */
const LOOK_MS = 5;
const DEADLINE_MS_MAX = 60_000;
const AGAIN_S_MAX = 30;

export interface GateHost {
  readonly monotonicMs: () => number;
  /** In [0, 1). */
  readonly random: () => number;
  readonly meter: Meter;
}

export class CallGate {
  readonly #gate = new LoadGate();
  readonly #host: GateHost;
  readonly #waiting = new Map<number, (verdict: "begun" | "shed") => void>();
  #looking = false;

  constructor(host: GateHost) {
    this.#host = host;
  }

  readonly middleware = createMiddleware(async (c, next) => {
    const lane = laneOf(c.req.method, c.req.path);
    const call = await this.#enter(lane, deadlineOf(c.req.header(DEADLINE_HEADER)), () => c.req.raw.signal);
    if (call === null) return this.#shed(lane, c.req.header("x-request-id"));
    try {
      await next();
    } finally {
      this.#move(this.#gate.ended(call, this.#host.monotonicMs()));
    }
    return undefined;
  });

  /** The call's number; null if it is shed. The signal is asked for only by who must wait: it costs. */
  async #enter(lane: Lane, patienceMs: number, signalOf: () => AbortSignal): Promise<number | null> {
    const nowMs = this.#host.monotonicMs();
    const { call, admission, moved } = this.#gate.arrive({ lane, deadlineMs: nowMs + patienceMs }, nowMs);
    this.#move(moved);
    if (admission === "begun") return call;
    if (admission === "shed") return null;
    const { promise, resolve } = Promise.withResolvers<"begun" | "shed">();
    this.#waiting.set(call, resolve);
    this.#lookSoon();
    const signal = signalOf();
    const hungUp = () => {
      this.#gate.gone(call);
      this.#settle(call, "shed");
    };
    signal.addEventListener("abort", hungUp, { once: true });
    const verdict = await promise;
    signal.removeEventListener("abort", hungUp);
    this.#host.meter.count("calls_waited_total", lane);
    this.#host.meter.count("calls_waited_seconds_total", lane, (this.#host.monotonicMs() - nowMs) / 1_000);
    return verdict === "begun" ? call : null;
  }

  felt(pulseMs: number): void {
    this.#gate.felt(pulseMs);
    this.#host.meter.show("pulse_seconds", pulseMs / 1_000);
  }

  #move({ begun, shed }: Moved): void {
    for (const call of begun) this.#settle(call, "begun");
    for (const call of shed) this.#settle(call, "shed");
    this.#host.meter.show("calls_limit", this.#gate.limit);
    this.#host.meter.show("calls_running", this.#gate.running);
    this.#host.meter.show("calls_waiting", this.#gate.waiting);
  }

  #settle(call: number, verdict: "begun" | "shed"): void {
    this.#waiting.get(call)?.(verdict);
    this.#waiting.delete(call);
  }

  #lookSoon(): void {
    if (this.#looking) return;
    this.#looking = true;
    setTimeout(() => {
      this.#looking = false;
      this.#move(this.#gate.look(this.#host.monotonicMs()));
      if (this.#gate.waiting > 0) this.#lookSoon();
    }, LOOK_MS);
  }

  #shed(lane: Lane, requestId: string | undefined): Response {
    this.#host.meter.count("calls_shed_total", lane);
    const refusal = {
      code: "temporary_reduced_capacity",
      message: "The service has more to do than it can right now. Please try again.",
      retryAfterSeconds: 1 + Math.floor(this.#host.random() * AGAIN_S_MAX),
    } as const;
    const answer = renderRefusal(refusal, requestId ?? mintRequestId());
    answer.headers.set(SHED_HEADER, lane);
    return answer;
  }
}

function deadlineOf(header: string | undefined): number {
  const ms = /^\d{1,6}$/.test(header ?? "") ? Number(header) : DEADLINE_MS_MAX;
  return Math.min(DEADLINE_MS_MAX, ms);
}
