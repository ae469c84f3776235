/**
 * Which addresses a webhook may reach: unicast only, decided on the address that is then connected to.
 *
 * The check sits in the connection's own name look-up, so there is no second resolution that could answer differently
 * (rebinding); literals never reach a look-up and are checked before. Names are asked of the name servers directly, not by
 * the system's resolver: that one occupies a thread of the process, and four names that are never answered would hold up
 * every other one, and every file.
 */
import { Resolver } from "node:dns/promises";
import { isIP, isIPv4 } from "node:net";
import type { LookupFunction } from "node:net";
import { callbackify } from "node:util";
import ipaddr from "ipaddr.js";

export class ForbiddenAddressError extends Error {
  override readonly name = "ForbiddenAddressError";
}

/** What may be called. Only development allows more than `PUBLIC_ONLY`, because its receivers live on loopback. */
export interface EgressPolicy {
  readonly addresses: "public" | "any";
  readonly schemes: readonly string[];
  /** Null: any. */
  readonly ports: readonly number[] | null;
}

export const PUBLIC_ONLY: EgressPolicy = { addresses: "public", schemes: ["https:"], ports: [443, 8443] };
export const ANYTHING: EgressPolicy = { addresses: "any", schemes: ["https:", "http:"], ports: null };

const RESOLVE_TIMEOUT_MS = 2_000;
const RESOLVE_TRIES = 2;
/** Of a name that has more, the first are called. */
const ADDRESSES_MAX = 16;

export function newResolver(): Resolver {
  return new Resolver({ timeout: RESOLVE_TIMEOUT_MS, tries: RESOLVE_TRIES });
}

/** Of IPv6 only what is routed globally today; whatever embeds an IPv4 address is none of it. */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const parsed = ipaddr.process(address);
  if (parsed.range() !== "unicast") return false;
  return parsed instanceof ipaddr.IPv4 || parsed.match(ipaddr.IPv6.parse("2000::"), 3);
}

/** What is wrong with calling this URL, as far as it shows without asking a name server; null: nothing. */
export function urlFault(text: string, policy: EgressPolicy): string | null {
  const url = URL.parse(text);
  if (url === null) return "must be an http or https URL.";
  if (url.username !== "" || url.password !== "") return "must not carry a user name or password.";
  if (!policy.schemes.includes(url.protocol)) return "must be an https URL.";
  const port = url.port === "" ? (url.protocol === "https:" ? 443 : 80) : Number(url.port);
  if (policy.ports !== null && !policy.ports.includes(port)) return `must have port ${policy.ports.join(" or ")}.`;
  if (policy.addresses === "any") return null;
  const host = hostOf(url);
  if (isIP(host) !== 0 ? !isPublicAddress(host) : isLocalName(host)) return "must have a public address.";
  return null;
}

/** The same, and its name must not resolve to anything else; a name that does not resolve now may do so later. */
export async function urlFaultAsResolved(
  text: string,
  policy: EgressPolicy,
  resolver: Resolver,
): Promise<string | null> {
  const fault = urlFault(text, policy);
  if (fault !== null || policy.addresses === "any") return fault;
  const host = hostOf(new URL(text));
  if (isIP(host) !== 0) return null;
  const addresses = await addressesOf(host, resolver);
  return addresses.every(isPublicAddress) ? null : "must resolve to public addresses only.";
}

/** A look-up that fails if any answer is not public. */
export function publicLookup(resolver: Resolver): LookupFunction {
  const look = callbackify((hostname: string) => publicAddressesOf(hostname, resolver));
  return (hostname, options, callback) => {
    look(hostname, (error, addresses) => {
      const [first] = addresses ?? [];
      if (first === undefined) return callback(error ?? new Error(`${hostname} does not resolve`), "", 0);
      if (options.all === true) return callback(null, [...addresses]);
      callback(null, first.address, first.family);
    });
  };
}

async function publicAddressesOf(
  host: string,
  resolver: Resolver,
): Promise<readonly { readonly address: string; readonly family: 4 | 6 }[]> {
  const addresses = await addressesOf(host, resolver);
  if (!addresses.every(isPublicAddress)) {
    throw new ForbiddenAddressError(`${host} does not resolve to public addresses only`);
  }
  return addresses.slice(0, ADDRESSES_MAX).map((address) => ({ address, family: isIPv4(address) ? 4 : 6 }));
}

/** Both families; one that fails does not matter if the other answers. */
async function addressesOf(host: string, resolver: Resolver): Promise<readonly string[]> {
  const answers = await Promise.allSettled([resolver.resolve4(host), resolver.resolve6(host)]);
  return answers.flatMap((answer) => (answer.status === "fulfilled" ? answer.value : []));
}

function hostOf(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, "");
}

/** Names that never mean a public host, whatever a name server says. */
function isLocalName(host: string): boolean {
  const name = host.replace(/\.+$/, "");
  return name === "" || !name.includes(".") || /\.(localhost|local|internal|home\.arpa)$/.test(name);
}
