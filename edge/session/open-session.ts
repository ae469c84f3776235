/** What the Worker tells the object about a session to open: it has read key or ticket and the query, the object decides. */
import { z } from "zod";
import { AccountId, RequestId, Sha256Hex, VideoId } from "#protocol/id.ts";

const HEADER = "x-callsheet-open";

const OpenSessionFields = z.object({
  account: AccountId,
  /** By hash: a key, or a browser's ticket with the origin of its page. */
  by: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("key"), key: Sha256Hex }),
    z.object({ kind: z.literal("ticket"), ticket: Sha256Hex, origin: z.string().nullable() }),
  ]),
  requestId: RequestId,
  /** null: from now on. */
  startingAfter: z.int().nonnegative().nullable(),
  /** null: all of the account. */
  videoIds: z.array(VideoId).nullable(),
  /** A session of the same account whose place this one takes. */
  replaces: z.string().nullable(),
  wantsSubprotocol: z.boolean(),
});
export type OpenSession = z.infer<typeof OpenSessionFields>;

export const OpenSession = {
  toRequest(open: OpenSession): Request {
    return new Request("https://account-session/events", {
      headers: { upgrade: "websocket", [HEADER]: JSON.stringify(open) },
    });
  },
  fromRequest(request: Request): OpenSession {
    return OpenSessionFields.parse(JSON.parse(request.headers.get(HEADER) ?? "null"));
  },
};
