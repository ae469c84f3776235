/** Who calls: the account and key hash behind `Authorization: Bearer cs_…`, or a browser's ticket; the object knows the rest. */
import { accountOfKey, hashOfKey } from "#protocol/api-key.ts";
import type { Refusal } from "#protocol/error.ts";
import type { AccountId, Sha256Hex } from "#protocol/id.ts";
import { accountOfTicket, TICKET_SUBPROTOCOL } from "#protocol/live-session.ts";
import type { OpenSession } from "./session/open-session.ts";

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

export type OpenerRead =
  | { readonly ok: true; readonly opener: Pick<OpenSession, "account" | "by"> }
  | { readonly ok: false; readonly refusal: Refusal };

/**
 * Who opens a WebSocket: a key, or a ticket among the subprotocols, which is all that a page can set. A page names its origin;
 * `allowed` is the operator's list of them, null for any.
 */
export async function readOpener(
  headers: Headers,
  offered: readonly string[],
  allowed: readonly string[] | null,
): Promise<OpenerRead> {
  const origin = headers.get("origin");
  if (origin !== null && allowed !== null && !allowed.includes(origin)) {
    return {
      ok: false,
      refusal: { code: "origin_forbidden", message: "Pages of this origin may not open live sessions." },
    };
  }
  const name = offered.find((protocol) => protocol.startsWith(TICKET_SUBPROTOCOL));
  if (name === undefined) {
    const read = await readCaller(headers);
    return read.ok
      ? { ok: true, opener: { account: read.caller.account, by: { kind: "key", key: read.caller.key } } }
      : read;
  }
  const ticket = name.slice(TICKET_SUBPROTOCOL.length);
  const account = accountOfTicket(ticket);
  if (account === null) return { ok: false, refusal: { code: "invalid_ticket", message: "That is no ticket." } };
  return { ok: true, opener: { account, by: { kind: "ticket", ticket: await hashOfKey(ticket), origin } } };
}

function refuse(message: string): { ok: false; refusal: Refusal } {
  return { ok: false, refusal: { code: "invalid_api_key", message } };
}
