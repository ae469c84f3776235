/** A customer with a key, before a control plane that knows it: calls and live sessions against the real Worker. */
import { env, exports } from "cloudflare:workers";
import type { Push } from "#protocol/edge-call.ts";
import { signCall } from "#protocol/signed-call.ts";
import { RequestId } from "#protocol/id.ts";
import { ControlPlaneStandIn } from "./control-plane-stand-in.ts";
import { LiveSession } from "./live-session.ts";
import { newCustomer } from "./sample.ts";

/** `controlPlane`: one that other customers are before already. */
export async function arrive(controlPlane = new ControlPlaneStandIn()) {
  controlPlane.install();
  const { account, key, hash } = await newCustomer();
  controlPlane.keys.add(hash);
  const call = (path: string, init: RequestInit = {}) => {
    const headers = new Headers(init.headers);
    if (!headers.has("authorization")) headers.set("authorization", `Bearer ${key}`);
    return exports.default.fetch(new Request(`https://edge.test${path}`, { redirect: "manual", ...init, headers }));
  };
  return {
    controlPlane,
    account,
    key,
    hash,
    object: env.ACCOUNT_SESSION.getByName(account),
    call,
    create: (body: unknown, headers: Record<string, string> = {}) =>
      call("/v1/videos", {
        method: "POST",
        headers: { "content-type": "application/json", ...headers },
        body: typeof body === "string" ? body : JSON.stringify(body),
      }),
    /** A browser: it has a ticket and an origin, and no key. */
    browse: (protocols: string, headers: Record<string, string> = {}) =>
      exports.default.fetch(
        new Request("https://edge.test/v1/videos/events", {
          headers: { upgrade: "websocket", "sec-websocket-protocol": protocols, ...headers },
        }),
      ),
    async listen(query = "", headers: Record<string, string> = {}): Promise<LiveSession> {
      return LiveSession.of(await call(`/v1/videos/events${query}`, { headers: { upgrade: "websocket", ...headers } }));
    },
    push: (items: Push["items"], change: PushChange = {}) => push(account, items, change),
  };
}

interface PushChange {
  readonly secret?: string;
  readonly nowMs?: number;
  /** What is sent instead of the body that was signed. */
  readonly sent?: string;
}

async function push(
  account: Awaited<ReturnType<typeof newCustomer>>["account"],
  items: Push["items"],
  change: PushChange,
) {
  const url = new URL("https://edge.test/internal/v1/push");
  const text = JSON.stringify({ items });
  const requestId = RequestId.parse(`req_${crypto.randomUUID().replaceAll("-", "")}`);
  const call = { method: "POST", url, body: new Uint8Array(new TextEncoder().encode(text)), account, requestId };
  const headers = await signCall(call, change.secret ?? env.EDGE_SIGNING_SECRET, change.nowMs ?? Date.now());
  return exports.default.fetch(new Request(url, { method: "POST", headers, body: change.sent ?? text }));
}
