/** The main listener: signed calls of the edge and of other replicas, the store's lease-bound URLs, health. Runner sockets upgrade beside it. */
import { Hono } from "hono";
import type { MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Logger } from "pino";
import { renderRefusal } from "#protocol/error.ts";
import { faultOf } from "./database-fault.ts";
import { accountRoutes } from "./account.ts";
import type { AccountHost } from "./account.ts";
import { creditRoutes } from "./credits.ts";
import { mintRequestId } from "./request-id.ts";
import { EDGE_BODY_BYTES_MAX, signed } from "./signed.ts";
import type { SignedVariables } from "./signed.ts";
import { peerRoutes } from "./peer.ts";
import type { PeerHost } from "./peer.ts";
import { storeRoutes } from "./store.ts";
import type { StoreUrls } from "#control-plane/store/store-url.ts";
import { videoRoutes } from "./videos.ts";
import type { VideosHost } from "./videos.ts";
import { webhookRoutes } from "./webhooks.ts";
import type { WebhooksHost } from "./webhooks.ts";

const PEER_BODY_BYTES_MAX = 64 * 1024;

export interface AppHost extends VideosHost, AccountHost, WebhooksHost, PeerHost {
  readonly edgeSecret: string;
  readonly storeUrls: StoreUrls;
  readonly log: Logger;
  /** Times every request. */
  readonly timed: MiddlewareHandler;
}

export function app(host: AppHost) {
  const edge = new Hono<{ Variables: SignedVariables }>()
    .use(bodyLimit({ maxSize: EDGE_BODY_BYTES_MAX, onError: tooLarge }))
    .use(signed(host.edgeSecret, host.now))
    .route("/videos", videoRoutes(host))
    .route("/credits", creditRoutes(host.database))
    .route("/", accountRoutes(host))
    .route("/", webhookRoutes(host));

  const peer = new Hono<{ Variables: SignedVariables }>()
    .use(bodyLimit({ maxSize: PEER_BODY_BYTES_MAX, onError: tooLarge }))
    .use(signed(host.edgeSecret, host.now))
    .route("/", peerRoutes(host));

  return new Hono()
    .use(host.timed)
    .get("/livez", (c) => c.json({ status: "ok" }))
    .get("/readyz", async (c) => {
      await host.sql`select 1`;
      return c.json({ status: "ok" });
    })
    .route("/edge/v1", edge)
    .route("/peer/v1", peer)
    .route("/store/v1", storeRoutes(host.store, host.storeUrls, host.now))
    .notFound((c) =>
      renderRefusal({ code: "not_found", message: "No such route." }, c.req.header("x-request-id") ?? mintRequestId()),
    )
    .onError((error, c) => {
      const requestId = c.req.header("x-request-id") ?? mintRequestId();
      if (faultOf(error) === "unavailable") {
        host.log.warn({ err: error, request: requestId }, "the database could not be reached");
        return renderRefusal(
          { code: "control_plane_unavailable", message: "The service is briefly unavailable.", retryAfterSeconds: 1 },
          requestId,
        );
      }
      host.log.error({ err: error, request: requestId }, "a request failed by a bug");
      return renderRefusal({ code: "internal_error", message: "An unexpected error; it was logged." }, requestId);
    });
}

function tooLarge(): Response {
  return renderRefusal({ code: "file_too_large", message: "The body is too large." }, mintRequestId());
}
