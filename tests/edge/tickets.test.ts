import { createExecutionContext, evictDurableObject, runDurableObjectAlarm } from "cloudflare:test";
import { env } from "cloudflare:workers";
import { afterEach, expect, test, vi } from "vitest";
import app from "#edge/worker.ts";
import { ErrorEnvelope } from "#protocol/error.ts";
import { SessionTicket } from "#protocol/live-session.ts";
import { arrive } from "./customer.ts";
import { LiveSession } from "./live-session.ts";

afterEach(() => {
  vi.useRealTimers();
});

type Customer = Awaited<ReturnType<typeof arrive>>;

async function ticketOf({ call }: Customer, body?: unknown): Promise<string> {
  const init =
    body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } };
  const answer = await call("/v1/sessions", { method: "POST", ...init });
  expect(answer.headers.get("cache-control")).toBe("no-store");
  return SessionTicket.parse(await answer.json()).ticket;
}

const protocolsWith = (ticket: string) => `callsheet.v1, callsheet.ticket.${ticket}`;

async function refusalOf(answer: Response): Promise<[number, string | null]> {
  return [answer.status, ErrorEnvelope.parse(await answer.json()).error.code];
}

test("a browser opens a session with a ticket, and is told only the subprotocol", async () => {
  const customer = await arrive();
  const answer = await customer.browse(protocolsWith(await ticketOf(customer)), { origin: "https://app.example.com" });
  expect(answer.headers.get("sec-websocket-protocol")).toBe("callsheet.v1");
  expect((await LiveSession.of(answer).next()).type).toBe("hello");
});

test("a ticket opens one session, also when two try at once", async () => {
  const customer = await arrive();
  const ticket = await ticketOf(customer);
  const answers = await Promise.all([customer.browse(protocolsWith(ticket)), customer.browse(protocolsWith(ticket))]);
  expect(answers.map(({ status }) => status).toSorted()).toEqual([101, 401]);
  expect(await refusalOf(await customer.browse(protocolsWith(ticket)))).toEqual([401, "invalid_ticket"]);
});

test("a ticket outlives an eviction, but not its minute", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const customer = await arrive();
  const [early, late] = [await ticketOf(customer), await ticketOf(customer)];
  await evictDurableObject(customer.object);
  vi.setSystemTime(Date.now() + 59_000);
  expect((await customer.browse(protocolsWith(early))).status).toBe(101);
  vi.setSystemTime(Date.now() + 1_000);
  expect(await refusalOf(await customer.browse(protocolsWith(late)))).toEqual([401, "invalid_ticket"]);
});

test("a ticket for an origin serves its pages only", async () => {
  const customer = await arrive();
  const bound = () => ticketOf(customer, { origin: "https://app.example.com" });
  const open = async (headers: Record<string, string>) =>
    (await customer.browse(protocolsWith(await bound()), headers)).status;
  expect(await open({ origin: "https://app.example.com" })).toBe(101);
  expect(await open({ origin: "https://evil.example.com" })).toBe(403);
  expect(await open({ origin: "http://app.example.com" })).toBe(403);
  expect(await open({ origin: "null" })).toBe(403);
  expect(await open({})).toBe(403);
});

test("an operator's list of origins holds for keys and tickets", async () => {
  const customer = await arrive();
  const bindings = { ...env, ALLOWED_ORIGINS: "https://app.example.com, https://www.example.com" };
  const ask = (headers: Record<string, string>) =>
    app.fetch(
      new Request("https://edge.test/v1/videos/events", { headers: { upgrade: "websocket", ...headers } }),
      bindings,
      createExecutionContext(),
    );
  const open = async (headers: Record<string, string>) =>
    (await ask({ "sec-websocket-protocol": protocolsWith(await ticketOf(customer)), ...headers })).status;
  expect(await open({ origin: "https://www.example.com" })).toBe(101);
  expect(await open({ origin: "https://www.example.com.evil.com" })).toBe(403);
  expect(await open({})).toBe(101);
  const headers = { authorization: `Bearer ${customer.key}`, origin: "https://evil.example.com" };
  expect(await refusalOf(await ask(headers))).toEqual([403, "origin_forbidden"]);
});

test("a revoked key takes its tickets and their sessions with it", async () => {
  const customer = await arrive();
  const [used, unused] = [await ticketOf(customer), await ticketOf(customer)];
  const session = LiveSession.of(await customer.browse(protocolsWith(used)));
  await session.until("caught_up");
  customer.controlPlane.keys.delete(customer.hash);
  await customer.push([{ kind: "key_revoked", key_sha256: customer.hash }]);
  expect((await session.closed).code).toBe(4001);
  expect((await customer.browse(protocolsWith(unused))).status).toBe(401);
});

test("a ticket's session ends after an hour with 4201; a key's does not", async () => {
  vi.useFakeTimers({ toFake: ["Date"] });
  const customer = await arrive();
  const browser = LiveSession.of(await customer.browse(protocolsWith(await ticketOf(customer))));
  const server = await customer.listen();
  await Promise.all([browser.until("caught_up"), server.until("caught_up")]);
  vi.setSystemTime(Date.now() + 3_600_000);
  await runDurableObjectAlarm(customer.object);
  expect((await browser.closed).code).toBe(4201);
  expect(await server.untilPong()).toEqual([]);
});

test.each([
  ["no ticket at all", "callsheet.ticket.", 401],
  ["a ticket that nobody made", `callsheet.ticket.ct_0000000000000001_${"0".repeat(32)}`, 401],
  ["another account's name on it", `callsheet.ticket.ct_${"z".repeat(16)}_${"0".repeat(32)}`, 401],
])("%s opens nothing", async (_what, protocol, status) => {
  const { browse } = await arrive();
  expect((await browse(`callsheet.v1, ${protocol}`)).status).toBe(status);
});

test.each([
  ["an address", { origin: "https://app.example.com/path" }],
  ["another scheme", { origin: "file:///etc" }],
  ["an unknown field", { account: "acct_0000000000000001" }],
])("a ticket is not made for %s", async (_what, body) => {
  const { call } = await arrive();
  const headers = { "content-type": "application/json" };
  expect((await call("/v1/sessions", { method: "POST", headers, body: JSON.stringify(body) })).status).toBe(400);
});

test("the hundred and first unused ticket is refused", async () => {
  const customer = await arrive();
  await Promise.all(Array.from({ length: 100 }, () => ticketOf(customer)));
  const answer = await customer.call("/v1/sessions", { method: "POST" });
  expect(await refusalOf(answer)).toEqual([429, "rate_limit_exceeded"]);
});
