/** Webhooks on real PostgreSQL and over real HTTP: who waits for whom, what failures do, and that nothing is lost. */
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { FAILURES_MAX } from "#control-plane/core/webhook-breaker.ts";
import { SCHEDULE_MS } from "#control-plane/core/webhook-schedule.ts";
import { eventsAfter } from "#control-plane/db/events.ts";
import { IN_FLIGHT_PER_ENDPOINT_MAX } from "#control-plane/usecase/deliver-webhooks.ts";
import { readEndpoint, rotateSecret, updateEndpoint } from "#control-plane/usecase/webhook-endpoints.ts";
import { readDeliveries } from "#control-plane/usecase/webhook-log.ts";
import type { AccountId } from "#protocol/id.ts";
import { DeliveryQuery } from "#protocol/webhook.ts";
import type { WebhookEndpoint } from "#protocol/webhook.ts";
import { MailRoom } from "#tests/support/mail-room.ts";
import { Studio } from "#tests/support/studio.ts";
import { WebhookReceiver } from "#tests/support/webhook-receiver.ts";
import type { Answer } from "#tests/support/webhook-receiver.ts";

let studio: Studio;
let room: MailRoom;
const receivers: WebhookReceiver[] = [];
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());
beforeEach(() => {
  room = new MailRoom(studio);
});
afterEach(async () => {
  await Promise.all(receivers.splice(0).map((receiver) => receiver.stop()));
  await room.stop();
  await studio.sql`delete from webhook_endpoint`;
});

async function receiver(answer?: Answer): Promise<WebhookReceiver> {
  const started = await WebhookReceiver.start(answer);
  receivers.push(started);
  return started;
}

async function seen(account: AccountId, { id }: WebhookEndpoint): Promise<WebhookEndpoint> {
  const endpoint = await readEndpoint(studio.database, account, id);
  if ("code" in endpoint) throw new Error(endpoint.message);
  return endpoint;
}

const deliveries = async (account: AccountId, query: object = {}) =>
  (await readDeliveries(studio.sql, account, DeliveryQuery.parse({ order: "asc", limit: 100, ...query }))).data;

/** All that were tried have an outcome. */
const settled = (account: AccountId) =>
  room.until(async () => {
    const all = await deliveries(account);
    return all.every(({ status, last_status: answered, last_error: error }) =>
      status === "pending" ? answered !== null || error !== null : true,
    )
      ? all
      : undefined;
  });

/** Time passes for what is due: every wait of this endpoint ends now. */
async function timePasses({ id }: WebhookEndpoint): Promise<void> {
  await studio.sql`update webhook_delivery set next_at = now() where endpoint_id = ${id} and next_at is not null`;
  await studio.sql`update webhook_endpoint set rested_until = null, due_at = now() where id = ${id}`;
}

test("while one account's receiver never answers, another's gets everything at once", async () => {
  const [slow, quick] = [await studio.account("pro"), await studio.account("pro")];
  const tarpit = await receiver(() => undefined);
  const sound = await receiver();
  await room.endpoint(slow, tarpit.url);
  await room.endpoint(quick, sound.url);
  await room.happens(slow, 40);
  await room.happens(quick, 40);
  room.start();
  await sound.until(40);
  expect(tarpit.received).toHaveLength(1);
  expect(new Set(sound.ids()).size).toBe(40);
});

test("a receiver whose answer never ends is no tarpit: its status is all that is read", async () => {
  const account = await studio.account("pro");
  const endless = await receiver((response) => {
    response.writeHead(200);
    const more = () => void response.write("x".repeat(10_000));
    response.on("drain", more);
    more();
  });
  await room.endpoint(account, endless.url);
  await room.happens(account, 3);
  room.start();
  await room.until(async () => ((await deliveries(account, { status: "pending" })).length === 0 ? true : undefined));
  expect((await deliveries(account)).map(({ status, tries }) => `${status} ${tries}`)).toEqual(
    Array(3).fill("delivered 1"),
  );
});

test("an endpoint with 100,000 due deliveries does not keep the next one waiting, in the order in which they were due", async () => {
  const [flooded, other] = [await studio.account("pro"), await studio.account("pro")];
  const [many, few] = [await receiver(), await receiver()];
  const endpoint = await room.endpoint(flooded, many.url);
  await studio.sql`
    insert into webhook_delivery (id, account_id, endpoint_id, body, next_at)
    select 'msg_' || lpad(to_hex(n), 32, '0'), ${flooded}, ${endpoint.id}, '{}', now() - make_interval(secs => 200000 - n)
    from generate_series(1, 100000) as n`;
  await studio.sql`update webhook_endpoint set due_at = now() - interval '3 days', delivered_at = now() where id = ${endpoint.id}`;
  await studio.sql`analyze webhook_delivery`;
  await room.endpoint(other, few.url);
  await room.happens(other, 20);
  room.start();
  await few.until(20);
  await room.stop();
  expect(many.received.length).toBeLessThan(10_000);
  expect(many.openMax).toBeLessThanOrEqual(IN_FLIGHT_PER_ENDPOINT_MAX);
  const first = many
    .ids()
    .slice(0, 40)
    .map((id) => Number.parseInt(id.slice(4), 16));
  expect(Math.max(...first)).toBeLessThanOrEqual(40 + IN_FLIGHT_PER_ENDPOINT_MAX);
});

test("a proven endpoint has four tries at once, one that never answered well has one, over two replicas too", async () => {
  const account = await studio.account("pro");
  const hold = await receiver(() => undefined);
  const endpoint = await room.endpoint(account, hold.url);
  await room.happens(account, 20);
  const second = new MailRoom(studio);
  await Promise.all([room.courier.turn(), second.courier.turn()]);
  expect(room.courier.underWay + second.courier.underWay).toBe(1);
  await studio.sql`update webhook_endpoint set delivered_at = now(), due_at = now() where id = ${endpoint.id}`;
  await Promise.all([room.courier.turn(), second.courier.turn()]);
  await Promise.all([room.courier.turn(), second.courier.turn()]);
  expect(room.courier.underWay + second.courier.underWay).toBe(IN_FLIGHT_PER_ENDPOINT_MAX);
  await hold.until(IN_FLIGHT_PER_ENDPOINT_MAX);
  await hold.stop();
  receivers.length = 0;
  await second.stop();
});

test("after five failures in a row an endpoint rests; then one try at a time, and no delivery is lost", async () => {
  const account = await studio.account("pro");
  const down = await receiver(500);
  const endpoint = await room.endpoint(account, down.url);
  await room.happens(account, 30);
  room.start();
  await room.until(async () => ((await seen(account, endpoint)).rested_until === null ? undefined : true));
  expect(down.received).toHaveLength(FAILURES_MAX);
  expect(down.openMax).toBe(1);
  const waiting = await deliveries(account);
  expect(waiting.map(({ tries }) => tries)).toEqual([
    ...Array<number>(FAILURES_MAX).fill(1),
    ...Array<number>(25).fill(0),
  ]);

  // An event meanwhile does not end the rest; the first try after it decides.
  await room.happens(account);
  await room.courier.turn();
  expect(down.received).toHaveLength(FAILURES_MAX);
  await studio.sql`update webhook_endpoint set rested_until = now(), due_at = now() where id = ${endpoint.id}`;
  await down.until(FAILURES_MAX + 1);
  await room.until(async () => ((await seen(account, endpoint)).rested_until === null ? undefined : true));
  expect(down.received).toHaveLength(FAILURES_MAX + 1);

  down.answer(200);
  await timePasses(endpoint);
  await room.until(async () => ((await deliveries(account, { status: "delivered" })).length === 31 ? true : undefined));
  expect(new Set(down.ids()).size).toBe(31);
  expect(await seen(account, endpoint)).toMatchObject({ enabled: true, failing_since: null, rested_until: null });
});

test("a receiver that asks for time gets it, for all its deliveries", async () => {
  const account = await studio.account("pro");
  const busy = await receiver((response) => void response.writeHead(429, { "retry-after": "60" }).end());
  const endpoint = await room.endpoint(account, busy.url);
  await room.happens(account, 5);
  room.start();
  await room.until(async () => ((await seen(account, endpoint)).rested_until === null ? undefined : true));
  await room.courier.turn();
  expect(busy.received).toHaveLength(1);
});

test("an endpoint that says 410 is disabled, its owner is told why at another endpoint, and can enable it again", async () => {
  const account = await studio.account("pro");
  const [gone, other] = [await receiver(410), await receiver()];
  const endpoint = await room.endpoint(account, gone.url);
  await room.endpoint(account, other.url, ["webhook_endpoint.disabled"]);
  await room.happens(account, 3);
  room.start();
  await other.until(1);
  expect(JSON.parse(other.received[0]?.body ?? "")).toMatchObject({
    type: "webhook_endpoint.disabled",
    data: { webhook_endpoint_id: endpoint.id, url: gone.url, reason: "receiver_gone" },
  });
  expect(await eventsAfter(studio.sql, account, 3, 10)).toMatchObject([{ type: "webhook_endpoint.disabled" }]);
  expect(gone.received).toHaveLength(1);
  expect(await seen(account, endpoint)).toMatchObject({ enabled: false, disabled_reason: "receiver_gone" });
  expect((await deliveries(account, { webhook_endpoint_id: endpoint.id })).map(({ status }) => status)).toEqual(
    Array(3).fill("failed"),
  );

  gone.answer(200);
  const enabled = await updateEndpoint(studio.database, account, endpoint.id, { enabled: true });
  expect(enabled).toMatchObject({ enabled: true, disabled_reason: null });
  await room.happens(account);
  await gone.until(2);
});

test("an endpoint that failed for as long as a delivery is tried is disabled with that reason", async () => {
  const account = await studio.account("pro");
  const down = await receiver(500);
  const endpoint = await room.endpoint(account, down.url);
  await room.happens(account);
  room.start();
  await settled(account);
  await studio.sql`
    update webhook_endpoint set failing_since = now() - make_interval(secs => ${SCHEDULE_MS / 1_000}) where id = ${endpoint.id}`;
  await timePasses(endpoint);
  await room.until(async () => ((await seen(account, endpoint)).enabled ? undefined : true));
  expect(await seen(account, endpoint)).toMatchObject({ disabled_reason: "kept_failing" });
});

test("after a rotation both secrets sign, so a receiver that knows either accepts; a leaked one ends at once", async () => {
  const account = await studio.account("pro");
  const sound = await receiver();
  const endpoint = await room.endpoint(account, sound.url);
  const fresh = `whsec_${Buffer.alloc(32, 7).toString("base64")}`;
  const leaked = `whsec_${Buffer.alloc(32, 8).toString("base64")}`;
  const verifies = (index: number, secret: string | undefined) => {
    const { body, headers } = sound.received[index] ?? { body: "", headers: {} };
    try {
      new Webhook(secret ?? "").verify(body, headers as Record<string, string>);
      return true;
    } catch {
      return false; // All that the verifier says is no.
    }
  };
  await rotateSecret(studio.database, account, endpoint.id, { overlap_seconds: 3_600 }, fresh);
  await room.happens(account);
  room.start();
  await sound.until(1);
  expect(String(sound.received[0]?.headers["webhook-signature"]).split(" ")).toHaveLength(2);
  expect([verifies(0, fresh), verifies(0, endpoint.secret), verifies(0, leaked)]).toEqual([true, true, false]);
  await rotateSecret(studio.database, account, endpoint.id, { overlap_seconds: 0 }, leaked);
  await room.happens(account);
  await sound.until(2);
  expect([verifies(1, fresh), verifies(1, endpoint.secret), verifies(1, leaked)]).toEqual([false, false, true]);
});

test("a replica that stops gives back what it was sending, and the try does not count", async () => {
  const account = await studio.account("pro");
  const tarpit = await receiver(() => undefined);
  await room.endpoint(account, tarpit.url);
  await room.happens(account);
  await room.courier.turn();
  await tarpit.until(1);
  await room.courier.stop();
  expect(await deliveries(account)).toMatchObject([{ status: "pending", tries: 0, last_error: null }]);
  tarpit.answer(200);
  room = new MailRoom(studio);
  room.start();
  await tarpit.until(2);
  expect(new Set(tarpit.ids()).size).toBe(1);
});

test("what a replica that died had claimed is sent by another once the claim ends", async () => {
  const account = await studio.account("pro");
  const sound = await receiver();
  const endpoint = await room.endpoint(account, sound.url);
  await room.happens(account, 2);
  await studio.sql`
    update webhook_delivery set claimed_at = now() - interval '61 s', next_at = now() - interval '1 s', tries = 1
    where endpoint_id = ${endpoint.id}`;
  room.start();
  await sound.until(2);
  expect(new Set(sound.ids()).size).toBe(2);
});

test("events appended while claims are made are all sent, once each", async () => {
  const accounts = await Promise.all(Array.from({ length: 8 }, () => studio.account("pro")));
  const sound = await receiver();
  await Promise.all(accounts.map((account) => room.endpoint(account, `${sound.url}/${account}`)));
  const second = new MailRoom(studio);
  room.start();
  second.start();
  await Promise.all(accounts.map((account) => room.happens(account, 40)));
  await sound.until(320);
  await Promise.all([room.stop(), second.stop()]);
  expect(sound.received).toHaveLength(320);
  expect(new Set(sound.ids()).size).toBe(320);
  const [row] = await studio.sql`select count(*)::int as waiting from webhook_delivery where next_at is not null`;
  expect(row?.["waiting"]).toBe(0);
});
