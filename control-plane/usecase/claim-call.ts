/** Every signed mutation happens once: its request id is its nonce, kept as long as its signature holds and longer. */
import type { Sql } from "#control-plane/db/connect.ts";
import { claimNonce } from "#control-plane/db/submit.ts";
import type { RequestId } from "#protocol/id.ts";

/** False if the call was made before. */
export function claimCall(sql: Sql, requestId: RequestId): Promise<boolean> {
  return claimNonce(sql, requestId);
}
