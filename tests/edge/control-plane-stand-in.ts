/**
 * A control plane for one test: answers the signed calls of `protocol/edge-call.ts` from memory.
 *
 * It verifies every signature, refuses a nonce it has seen, and parses bodies with the protocol's schemas, so a call that
 * the real one would refuse fails the test. `outage` decides per call whether this replica answers.
 */
import { env } from "cloudflare:workers";
import { vi } from "vitest";
import {
  AskSnapshot,
  EstimateVideo,
  KeyCheck,
  PUSH_ITEMS_MAX,
  SubmitVideo,
  Subscribe,
  type TierLimits,
} from "#protocol/edge-call.ts";
import { type Refusal, renderRefusal } from "#protocol/error.ts";
import { IDEMPOTENCY_KEY_REUSED, IDEMPOTENCY_REPLAYED_HEADER } from "#protocol/idempotency.ts";
import type { Event } from "#protocol/event.ts";
import { SHED_HEADER } from "#protocol/lane.ts";
import { SNAPSHOT_VIDEOS_MAX, VideoStanding } from "#protocol/live-session.ts";
import { verifyCall } from "#protocol/signed-call.ts";
import { video } from "./sample.ts";

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly host: string;
  readonly account: string;
  readonly requestId: string;
  readonly body: unknown;
}

export const TIER: TierLimits = {
  tier: "free",
  creates_per_minute: 600,
  creates_burst: 300,
  reads_per_minute: 6_000,
  reads_burst: 200,
  max_running: 3,
};
type Outage = "none" | "refused" | "busy" | "broken" | "limited" | "full" | "account_busy" | "shed_lists";

const FULL: Refusal = {
  code: "queue_full",
  message: "20 are waiting",
  numbers: { queued: 20, limit: 20 },
  retryAfterSeconds: 30,
};

export const MP4 = new Uint8Array(4_000).map((_, index) => index % 251);

export class ControlPlaneStandIn {
  readonly received: Received[] = [];
  /** Hashes of the keys that are good. */
  readonly keys = new Set<string>();
  readonly log: Event[] = [];
  readonly videos = new Map<string, ReturnType<typeof video>>();
  live = false;
  limits: TierLimits = TIER;
  standing = { running: { limit: 3, used: 1 }, queued: { limit: 200, used: 5 }, start_bound_seconds: 21_600 };
  pageSize = PUSH_ITEMS_MAX;
  outage: (host: string, path: string) => Outage = () => "none";
  /** What each create key made, and what each idempotency key stands for: as the tables have it. */
  readonly made = new Map<string, string>();
  readonly claims = new Map<string, { readonly fingerprint: string; readonly createKey: string }>();
  /** What a create is refused with, where it is not taken. */
  refusal: Refusal | null = null;
  /** Runs before a create is looked at. */
  beforeCreate: () => Promise<unknown> = async () => {};
  /** Awaited before any answer but those about keys. */
  released: Promise<void> = Promise.resolve();
  /** Runs between the question and the answer of a page read. */
  whileReadingPage: () => Promise<void> = async () => {};
  /** Runs between the question and the answer of a snapshot. */
  whileReadingSnapshot: () => Promise<void> = async () => {};
  readonly #nonces = new Set<string>();

  install(): void {
    vi.stubGlobal("fetch", (input: RequestInfo | URL, init?: RequestInit) => this.#answer(new Request(input, init)));
  }

  calls(method: string, path: string): Received[] {
    return this.received.filter((call) => call.method === method && call.path.split("?")[0] === path);
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    const outage = this.outage(url.hostname, url.pathname);
    if (outage === "refused") throw new Error("Network connection lost.");
    const bytes = new Uint8Array(await request.arrayBuffer());
    const call = { method: request.method, url, headers: request.headers, body: bytes };
    const verdict = await verifyCall(call, [env.EDGE_SIGNING_SECRET], Date.now());
    if (!verdict.ok) return new Response(null, { status: 401 });
    if (this.#nonces.has(verdict.requestId)) return new Response(null, { status: 403 });
    this.#nonces.add(verdict.requestId);
    const body: unknown = bytes.length === 0 ? undefined : JSON.parse(new TextDecoder().decode(bytes));
    const { account, requestId } = verdict;
    const path = url.pathname + url.search;
    this.received.push({ method: request.method, path, host: url.hostname, account, requestId, body });
    if (path !== "/edge/v1/keys/check") await this.released;
    if (outage === "busy") return renderRefusal({ code: "control_plane_unavailable", message: "starting" }, requestId);
    if (outage === "limited") return renderRefusal({ code: "queue_full", message: "full" }, requestId);
    if (outage === "full") return renderRefusal(FULL, requestId);
    if (outage === "account_busy") return renderRefusal({ code: "service_unavailable", message: "busy" }, requestId);
    if (outage === "shed_lists" && request.method === "GET") return shed(requestId);
    if (outage === "broken") return new Response("<h1>Bad gateway</h1>", { status: 502 });
    return this.#route(request, url, body, requestId);
  }

  /** As the submit: the same create key, and the same idempotency key, answer with the same video. */
  async #create(
    { create_key: createKey, video: wanted, idempotency }: SubmitVideo,
    requestId: string,
  ): Promise<Response> {
    await this.beforeCreate();
    const claimed = idempotency === undefined ? undefined : this.claims.get(idempotency.key_sha256);
    if (claimed !== undefined && claimed.fingerprint !== idempotency?.fingerprint) {
      return renderRefusal(IDEMPOTENCY_KEY_REUSED, requestId);
    }
    const known = this.made.get(claimed?.createKey ?? createKey);
    if (known === undefined && this.refusal !== null) return renderRefusal(this.refusal, requestId);
    const id = known ?? `video_${String(this.made.size + 100).padStart(32, "0")}`;
    if (known === undefined) {
      this.made.set(createKey, id);
      if (idempotency !== undefined) {
        this.claims.set(idempotency.key_sha256, { fingerprint: idempotency.fingerprint, createKey });
      }
    }
    const isReplay = claimed !== undefined && claimed.createKey !== createKey;
    const headers: HeadersInit = isReplay ? { [IDEMPOTENCY_REPLAYED_HEADER]: "true" } : {};
    return Response.json(video({ id, prompt: wanted.prompt }), { headers });
  }

  async #route(request: Request, url: URL, body: unknown, requestId: string): Promise<Response> {
    const id = /^\/edge\/v1\/videos\/(video_[^/]+)/.exec(url.pathname)?.[1];
    const found = id === undefined ? undefined : this.videos.get(id);
    const unknown = () => renderRefusal({ code: "video_not_found", message: "unknown" }, requestId);
    switch (`${request.method} ${id === undefined ? url.pathname : url.pathname.replace(id, ":id")}`) {
      case "POST /edge/v1/keys/check": {
        const known = this.keys.has(KeyCheck.parse(body).key_sha256);
        if (!known) return renderRefusal({ code: "not_found", message: "unknown key" }, requestId);
        return Response.json({ key_id: "key_1", limits: this.limits });
      }
      case "POST /edge/v1/videos":
        return this.#create(SubmitVideo.parse(body), requestId);
      case "GET /edge/v1/videos":
        return Response.json({ object: "list", data: [], first_id: null, last_id: null, has_more: false });
      case "GET /edge/v1/videos/:id":
        return found === undefined ? unknown() : Response.json(found);
      case "DELETE /edge/v1/videos/:id":
        return found === undefined ? unknown() : Response.json({ id, object: "video.deleted", deleted: true });
      case "POST /edge/v1/videos/:id/cancel":
        return found === undefined ? unknown() : Response.json(found);
      case "GET /edge/v1/videos/:id/content":
        return found === undefined ? unknown() : content(request);
      case "POST /edge/v1/videos/estimate":
        return Response.json({ object: "video.estimate", prompt: EstimateVideo.parse(body).video.prompt });
      case "GET /edge/v1/credits/balance":
      case "GET /edge/v1/credits/grants":
      case "GET /edge/v1/credits/transactions":
        return Response.json({ object: "list", data: [] });
      case "GET /edge/v1/limits":
        return Response.json({ tier: this.limits.tier, weight: 4, ...this.standing });
      case "GET /edge/v1/models":
        return Response.json({ object: "list", data: [] });
      case "POST /edge/v1/webhook_secret/rotate":
      case "GET /edge/v1/webhook_deliveries":
        return Response.json({ object: "list", data: [] });
      case "GET /edge/v1/events":
        return this.#page(Number(url.searchParams.get("after")));
      case "POST /edge/v1/snapshot":
        return this.#snapshot(AskSnapshot.parse(body));
      case "PUT /edge/v1/subscription":
        this.live = Subscribe.parse(body).live;
        return Response.json({ last_sequence_number: this.#last });
      default:
        // What came is in `received`; what the answer holds is the control plane's.
        if (/^\/edge\/v1\/webhook_(endpoints|deliveries)\b/.test(url.pathname))
          return Response.json({ object: "webhook" });
        return renderRefusal({ code: "not_found", message: url.pathname }, requestId);
    }
  }

  async #snapshot({ video_ids: ids }: AskSnapshot): Promise<Response> {
    const last = this.#last;
    const asked = [...this.videos.values()].filter(({ id, status }) =>
      ids === null ? status !== "completed" && status !== "failed" : ids.includes(id),
    );
    await this.whileReadingSnapshot();
    const videos = asked.slice(0, SNAPSHOT_VIDEOS_MAX).map((found) => VideoStanding.parse(found));
    return Response.json({ last_sequence_number: last, videos, has_more: asked.length > SNAPSHOT_VIDEOS_MAX });
  }

  get #last(): number {
    return this.log.at(-1)?.sequence_number ?? 0;
  }

  async #page(after: number): Promise<Response> {
    const rest = this.log.filter((event) => event.sequence_number > after);
    const page = { events: rest.slice(0, this.pageSize), has_more: rest.length > this.pageSize };
    await this.whileReadingPage();
    return Response.json(page);
  }
}

function shed(requestId: string): Response {
  const refusal = { code: "temporary_reduced_capacity", message: "full", retryAfterSeconds: 7 } as const;
  const answer = renderRefusal(refusal, requestId);
  answer.headers.set(SHED_HEADER, "list");
  return answer;
}

function content(request: Request): Response {
  const headers = { "content-type": "video/mp4", "accept-ranges": "bytes", etag: '"abc"' };
  const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.get("range") ?? "");
  if (range === null || request.headers.get("if-range") === '"old"') {
    return new Response(MP4, { headers: { ...headers, "content-length": String(MP4.length) } });
  }
  const part = MP4.slice(Number(range[1]), Number(range[2]) + 1);
  const where = {
    "content-length": String(part.length),
    "content-range": `bytes ${range[1]}-${range[2]}/${MP4.length}`,
  };
  return new Response(part, { status: 206, headers: { ...headers, ...where } });
}
