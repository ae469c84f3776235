/** Ids of calls that did not come with one. */
import { randomBytes } from "node:crypto";
import { RequestId } from "#protocol/id.ts";

export function mintRequestId(): RequestId {
  return RequestId.parse(`req_${randomBytes(16).toString("hex")}`);
}
