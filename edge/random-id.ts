/** Mints what must not be guessed: request ids (also the nonce of a signed call), create keys, session ids, tickets. */
import { hex } from "#protocol/api-key.ts";
import { type AccountId, CreateKey, RequestId } from "#protocol/id.ts";
import { ticketOf } from "#protocol/live-session.ts";

export function mintRequestId(): RequestId {
  return RequestId.parse(`req_${randomHex()}`);
}

export function mintCreateKey(): CreateKey {
  return CreateKey.parse(`ck_${randomHex()}`);
}

export function mintSessionId(): string {
  return `sess_${randomHex()}`;
}

export function mintTicket(account: AccountId): string {
  return ticketOf(account, randomHex());
}

function randomHex(): string {
  return hex(crypto.getRandomValues(new Uint8Array(16)));
}
