/**
 * Which addresses a webhook may reach: unicast only, decided on the address that is then connected to.
 *
 * The check sits in the connection's own name look-up, so there is no second resolution that could answer differently
 * (rebinding); literals never reach a look-up and are checked before.
 */
import { lookup as resolve } from "node:dns";
import { isIP } from "node:net";
import type { LookupFunction } from "node:net";
import ipaddr from "ipaddr.js";

export class ForbiddenAddressError extends Error {
  override readonly name = "ForbiddenAddressError";
}

export function isPublicAddress(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === "unicast";
}

/** Throws for a URL whose host is an address literal that must not be called. */
export function checkLiteral(url: URL): void {
  const host = url.hostname.replace(/^\[|\]$/g, "");
  if (isIP(host) !== 0 && !isPublicAddress(host)) throw new ForbiddenAddressError(`${host} is not a public address`);
}

/** A look-up that fails if any answer is not public. */
export const publicLookup: LookupFunction = (hostname, options, callback) => {
  resolve(hostname, { ...options, all: true }, (error, addresses) => {
    if (error !== null) return callback(error, "", 0);
    const hidden = addresses.find(({ address }) => !isPublicAddress(address));
    const [first] = addresses;
    if (hidden !== undefined || first === undefined) {
      return callback(new ForbiddenAddressError(`${hostname} does not resolve to public addresses only`), "", 0);
    }
    if (options.all === true) return callback(null, addresses);
    callback(null, first.address, first.family);
  });
};
