/** No webhook reaches the inside: real sockets, real name servers, and a listener on loopback that counts who connects. */
import { once } from "node:events";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import {
  ANYTHING,
  isPublicAddress,
  newResolver,
  PUBLIC_ONLY,
  publicLookup,
  urlFault,
  urlFaultAsResolved,
} from "#control-plane/egress/address-guard.ts";
import type { EgressPolicy } from "#control-plane/egress/address-guard.ts";
import { WebhookPost } from "#control-plane/egress/webhook-post.ts";
import { NameServer } from "#tests/support/name-server.ts";

const SECRET = `whsec_${Buffer.alloc(32, 1).toString("base64")}`;
const PUBLIC = "93.184.215.14";

let sinks: readonly Server[];
let connections = 0;
let port = 0;
/** As in production, but for the port on which the sink listens. */
let policy: EgressPolicy;
const servers: NameServer[] = [];

beforeAll(async () => {
  const four = await listen("127.0.0.1", 0);
  port = (four.address() as AddressInfo).port;
  sinks = [four, await listen("::1", port)];
  policy = { ...PUBLIC_ONLY, schemes: ["https:", "http:"], ports: [port] };
});
afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.stop()));
});
afterAll(() => {
  for (const sink of sinks) sink.close();
});

async function listen(host: string, onPort: number): Promise<Server> {
  const server = createServer((socket) => {
    connections++;
    socket.destroy();
  });
  server.listen(onPort, host);
  await once(server, "listening");
  return server;
}

async function nameServer(zone: (name: string, asked: number) => readonly string[] | null): Promise<NameServer> {
  const server = await NameServer.start(zone);
  servers.push(server);
  return server;
}

function send(url: string, resolver = newResolver()) {
  const message = { id: "msg_1", url, secrets: { secret: SECRET, retiring: [] }, body: "{}" };
  return new WebhookPost(policy, resolver).send(message, new Date(), new AbortController().signal);
}

/** Spellings of the inside, all of which a URL parser lets through. */
const INSIDE = [
  "127.0.0.1",
  "127.1",
  "127.0.1",
  "127.0.0.1.",
  "0x7f000001",
  "0x7f.0.0.1",
  "2130706433",
  "0177.0.0.1",
  "017700000001",
  "①②⑦.0.0.1",
  "0.0.0.0",
  "0",
  "10.0.0.1",
  "172.16.0.1",
  "192.168.0.1",
  "169.254.169.254",
  "100.64.0.1",
  "198.18.0.1",
  "224.0.0.1",
  "255.255.255.255",
  "[::1]",
  "[::]",
  "[::ffff:127.0.0.1]",
  "[::ffff:7f00:1]",
  "[::127.0.0.1]",
  "[64:ff9b::7f00:1]",
  "[64:ff9b:1::7f00:1]",
  "[2002:7f00:1::]",
  "[2001:0:7f00:1::]",
  "[fe80::1]",
  "[fd00::1]",
  "[fec0::1]",
  "localhost",
  "localhost.",
  "a.localhost",
  "metadata.google.internal",
];

test.each(INSIDE)(
  "a webhook to %s is refused when it is asked for and when it is sent, and nobody connects",
  async (host) => {
    const before = connections;
    const url = `http://${host}:${port}/hook`;
    expect(urlFault(url, policy)).toBe("must have a public address.");
    expect(await send(url)).toMatchObject({ kind: "forbidden" });
    expect(connections).toBe(before);
  },
);

test("the listener does count: development, which allows it, connects", async () => {
  const before = connections;
  const message = {
    id: "msg_1",
    url: `http://127.0.0.1:${port}/`,
    secrets: { secret: SECRET, retiring: [] },
    body: "{}",
  };
  await new WebhookPost(ANYTHING, newResolver()).send(message, new Date(), new AbortController().signal);
  expect(connections).toBe(before + 1);
});

test.each([
  ["http://example.com/", "must be an https URL."],
  ["ftp://example.com/", "must be an https URL."],
  ["https://example.com:8080/", "must have port 443 or 8443."],
  ["https://example.com:22/", "must have port 443 or 8443."],
  ["https://user@example.com/", "must not carry a user name or password."],
  ["https://user:pass@127.0.0.1/", "must not carry a user name or password."],
  ["https://", "must be an http or https URL."],
])("outside development %s %s", (url, fault) => expect(urlFault(url, PUBLIC_ONLY)).toBe(fault));

test.each(["https://example.com/a", "https://example.com:8443/a", `https://${PUBLIC}/`, "https://[2606:2800:21f::1]/"])(
  "outside development %s may be called",
  (url) => expect(urlFault(url, PUBLIC_ONLY)).toBeNull(),
);

test.each([
  ["127.0.0.1", ["127.0.0.1"]],
  ["::1", ["::1"]],
  ["a mapped address", ["0:0:0:0:0:ffff:7f00:1"]],
  ["NAT64", ["64:ff9b::7f00:1"]],
  ["a public and an inner address", [PUBLIC, "127.0.0.1"]],
  ["a public IPv4 and an inner IPv6 address", [PUBLIC, "::1"]],
])("a name that resolves to %s is refused at both times, and nobody connects", async (_, addresses) => {
  const before = connections;
  const resolver = (await nameServer(() => addresses)).resolver();
  const url = `http://hook.example.com:${port}/`;
  expect(await urlFaultAsResolved(url, policy, resolver)).toBe("must resolve to public addresses only.");
  expect(await send(url, resolver)).toMatchObject({ kind: "forbidden" });
  expect(connections).toBe(before);
});

test("a name that is public when it is asked for and loopback when it is sent is refused, and nobody connects", async () => {
  const before = connections;
  const resolver = (await nameServer((_, asked) => [asked === 1 ? PUBLIC : "127.0.0.1"])).resolver();
  const url = `http://rebind.example.com:${port}/`;
  expect(await urlFaultAsResolved(url, policy, resolver)).toBeNull();
  expect(await send(url, resolver)).toMatchObject({ kind: "forbidden" });
  expect(connections).toBe(before);
});

test("what was looked up is what is connected to: a server that flips at every question changes nothing", async () => {
  const resolver = (await nameServer((_, asked) => [asked % 2 === 1 ? PUBLIC : "127.0.0.1"])).resolver();
  const lookup = publicLookup(resolver);
  const look = () =>
    new Promise<string>((resolve) => {
      lookup("flip.example.com", { all: true }, (error, found) =>
        resolve(error === null ? JSON.stringify(found) : error.name),
      );
    });
  const seen = [await look(), await look(), await look(), await look()];
  const connectsTo = JSON.stringify([{ address: PUBLIC, family: 4 }]);
  expect(seen).toEqual([connectsTo, "ForbiddenAddressError", connectsTo, "ForbiddenAddressError"]);
});

test("a name that is never answered fails as unreachable, and a hundred of them hold up nobody else's name", async () => {
  const server = await nameServer((name) => (name.startsWith("deaf") ? null : ["127.0.0.1"]));
  const resolver = server.resolver();
  const deaf = Array.from({ length: 100 }, (_, n) => send(`http://deaf${n}.example.com:${port}/`, resolver));
  const startedMs = performance.now();
  expect(await send(`http://quick.example.com:${port}/`, resolver)).toMatchObject({ kind: "forbidden" });
  expect(performance.now() - startedMs).toBeLessThan(400);
  for (const outcome of await Promise.all(deaf)) expect(outcome).toMatchObject({ kind: "unreachable" });
});

test("of IPv6 only global unicast is public", () => {
  expect(isPublicAddress("2606:2800:21f:cb07:6820:80da:af6b:8b2c")).toBe(true);
  for (const address of ["100:0:0:1::1", "4000::1", "2001:db8::1", "3fff::1", "5f00::1", "not an address", ""]) {
    expect(isPublicAddress(address)).toBe(false);
  }
});
