/** What another replica asks this one: why jobs wait. Answered from memory if this one leads. */
import { Hono } from "hono";
import type { Explanation } from "#control-plane/core/job-view.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { ExplainCall } from "#protocol/peer-call.ts";
import type { ExplainAnswer } from "#protocol/peer-call.ts";
import { jsonOf } from "./signed.ts";
import type { SignedVariables } from "./signed.ts";

export interface PeerHost {
  /** Waiting jobs of the account among these, as this replica's own scheduler sees them; none if it does not lead. */
  readonly explainOwn: (account: AccountId, ids: readonly VideoId[]) => ReadonlyMap<VideoId, Explanation>;
}

export function peerRoutes({ explainOwn }: PeerHost) {
  return new Hono<{ Variables: SignedVariables }>().post("/explain", (c) => {
    const { ids } = ExplainCall.parse(jsonOf(c.var.body));
    const explained = [...explainOwn(c.var.account, ids)].map(([id, { position, eta, blockedBy }]) => ({
      id,
      position,
      eta,
      blocked_by: blockedBy,
    }));
    const answer: ExplainAnswer = { explained };
    return c.json(answer);
  });
}
