/** What the Worker tells the object about a session to open: it has read the key and the query, the object decides. */
import { z } from "zod";
import { AccountId, RequestId, Sha256Hex } from "#protocol/id.ts";

const HEADER = "x-callsheet-open";

const OpenSocketFields = z.object({
  account: AccountId,
  key: Sha256Hex,
  requestId: RequestId,
  /** null: from now on. */
  startingAfter: z.int().nonnegative().nullable(),
  wantsSubprotocol: z.boolean(),
});
export type OpenSocket = z.infer<typeof OpenSocketFields>;

export const OpenSocket = {
  toRequest(open: OpenSocket): Request {
    return new Request("https://account-session/events", {
      headers: { upgrade: "websocket", [HEADER]: JSON.stringify(open) },
    });
  },
  fromRequest(request: Request): OpenSocket {
    return OpenSocketFields.parse(JSON.parse(request.headers.get(HEADER) ?? "null"));
  },
};
