/** Who calls: the account and key hash behind `Authorization: Bearer cs_…`, and the object that knows the rest. */
import { accountOfKey, hashOfKey } from "#protocol/api-key.ts";
import type { Refusal } from "#protocol/error.ts";
import type { AccountId, Sha256Hex } from "#protocol/id.ts";

export interface Caller {
  readonly account: AccountId;
  readonly key: Sha256Hex;
}

export type CallerRead =
  | { readonly ok: true; readonly caller: Caller }
  | { readonly ok: false; readonly refusal: Refusal };

/** Offline: a typo never costs a look-up, and only the hash goes on from here. */
export async function readCaller(headers: Headers): Promise<CallerRead> {
  const token = /^Bearer +(\S+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  if (token === undefined) {
    return refuse("You did not provide an API key. Send it as 'Authorization: Bearer YOUR_KEY'.");
  }
  const account = accountOfKey(token);
  if (account === null) return refuse("Incorrect API key provided.");
  return { ok: true, caller: { account, key: await hashOfKey(token) } };
}

function refuse(message: string): CallerRead {
  return { ok: false, refusal: { code: "invalid_api_key", message } };
}
