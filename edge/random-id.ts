/** Mints what must not be guessed: request ids (also the nonce of a signed call), create keys, session ids. */
import { hex } from "#protocol/api-key.ts";
import { CreateKey, RequestId } from "#protocol/id.ts";

export function mintRequestId(): RequestId {
  return RequestId.parse(`req_${randomHex()}`);
}

export function mintCreateKey(): CreateKey {
  return CreateKey.parse(`ck_${randomHex()}`);
}

export function mintSessionId(): string {
  return `sess_${randomHex()}`;
}

function randomHex(): string {
  return hex(crypto.getRandomValues(new Uint8Array(16)));
}
