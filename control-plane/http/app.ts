/**
 * The main listener: signed calls of the edge and of other replicas, the store's lease-bound URLs, health. Runner sockets upgrade
 * beside it. Only the edge's calls pass the gate that sheds load.
 */
import { Hono } from "hono";
import type { MiddlewareHandler } from "hono";
import { bodyLimit } from "hono/body-limit";
import type { Logger } from "pino";
import { renderRefusal } from "#protocol/error.ts";
import type { RequestId } from "#protocol/id.ts";
import { claimCall } from "#control-plane/usecase/claim-call.ts";
import { RUNNER_PATH } from "#protocol/runner-identity.ts";
import { faultOf } from "./database-fault.ts";
import { accountRoutes } from "./account.ts";
import type { CallGate } from "./call-gate.ts";
import type { AccountHost } from "./account.ts";
import { creditRoutes } from "./credits.ts";
import { mintRequestId } from "./request-id.ts";
import { EDGE_BODY_BYTES_MAX, signed } from "./signed.ts";
import type { SignedVariables } from "./signed.ts";
import { peerRoutes } from "./peer.ts";
import type { PeerHost } from "./peer.ts";
import { deriveRoutes } from "./derive.ts";
import { runnerJoinRoutes } from "./runner-join.ts";
import { storeRoutes } from "./store.ts";
import type { StoreUrls } from "#control-plane/store/store-url.ts";
import { videoRoutes } from "./videos.ts";
import type { VideosHost } from "./videos.ts";
import { webhookRoutes } from "./webhooks.ts";
import type { WebhooksHost } from "./webhooks.ts";

const PEER_BODY_BYTES_MAX = 64 * 1024;

export interface AppHost extends VideosHost, AccountHost, WebhooksHost, PeerHost {
  /** Two while the secret is rotated. */
  readonly edgeSecrets: readonly string[];
  readonly storeUrls: StoreUrls;
  readonly log: Logger;
  /** Times every request. */
  readonly timed: MiddlewareHandler;
  readonly gate: CallGate;
}

export function app(host: AppHost) {
  const signedBy = {
    secrets: host.edgeSecrets,
    now: host.now,
    claim: (requestId: RequestId) => claimCall(host.sql, requestId),
  };
  const edge = new Hono<{ Variables: SignedVariables }>()
    .use(host.gate.middleware)
    .use(bodyLimit({ maxSize: EDGE_BODY_BYTES_MAX, onError: tooLarge }))
    .use(signed(signedBy))
    .route("/videos", videoRoutes(host))
    .route("/videos", deriveRoutes(host))
    .route("/credits", creditRoutes(host.database))
    .route("/", accountRoutes(host))
    .route("/", webhookRoutes(host));

  const peer = new Hono<{ Variables: SignedVariables }>()
    .use(bodyLimit({ maxSize: PEER_BODY_BYTES_MAX, onError: tooLarge }))
    .use(signed(signedBy))
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
    .route(RUNNER_PATH, runnerJoinRoutes(host.sql))
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
