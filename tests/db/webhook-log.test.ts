/** The log of deliveries: redeliver, replay, test, the `webhook_url` of a video, and whose they are. */
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { cancelVideo } from "#control-plane/usecase/change-video.ts";
import {
  deleteEndpoint,
  listEndpoints,
  readEndpoint,
  rotateAccountSecret,
  rotateSecret,
  updateEndpoint,
} from "#control-plane/usecase/webhook-endpoints.ts";
import { readDeliveries, readDelivery, replayTo, sendAgain, sendTest } from "#control-plane/usecase/webhook-log.ts";
import type { AccountId } from "#protocol/id.ts";
import { DeliveryQuery, ReplayWebhooks } from "#protocol/webhook.ts";
import type { WebhookEndpoint } from "#protocol/webhook.ts";
import { MailRoom } from "#tests/support/mail-room.ts";
import { Studio, TINY } from "#tests/support/studio.ts";
import { WebhookReceiver } from "#tests/support/webhook-receiver.ts";

let studio: Studio;
let room: MailRoom;
let sound: WebhookReceiver;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());
beforeEach(async () => {
  sound = await WebhookReceiver.start();
  room = new MailRoom(studio);
});
afterEach(async () => {
  await sound.stop();
  await room.stop();
  await studio.sql`delete from webhook_endpoint`;
});

const page = (account: AccountId, query: object = {}) =>
  readDeliveries(studio.sql, account, DeliveryQuery.parse({ order: "asc", ...query }));
const allOver = (account: AccountId) =>
  room.until(async () => ((await page(account, { status: "pending" })).data.length === 0 ? true : undefined));
const replay = (account: AccountId, endpoint: WebhookEndpoint, wanted: object) =>
  replayTo(studio.sql, account, endpoint, ReplayWebhooks.parse(wanted));

async function only(account: AccountId) {
  const [delivery] = (await page(account)).data;
  if (delivery === undefined) throw new Error("there is a delivery");
  return delivery;
}

test("a delivery shows its tries, what came of the last and when the next is", async () => {
  const account = await studio.account("pro");
  sound.answer(503);
  const endpoint = await room.endpoint(account, sound.url);
  await room.happens(account);
  expect(await only(account)).toMatchObject({ status: "pending", tries: 0, last_status: null, last_tried_at: null });
  room.start();
  await room.until(async () => ((await only(account)).last_status === null ? undefined : true));
  const failed = await only(account);
  expect(failed).toMatchObject({
    webhook_endpoint_id: endpoint.id,
    url: sound.url,
    event_type: "credits.low_balance",
    sequence_number: 1,
    status: "pending",
    tries: 1,
    last_status: 503,
    last_error: null,
    delivered_at: null,
  });
  expect(failed.next_try_at ?? 0).toBeGreaterThanOrEqual((failed.last_tried_at ?? 0) + 4);
});

test("a delivery that is over is sent again under its old id; one of a disabled endpoint is not", async () => {
  const account = await studio.account("pro");
  const endpoint = await room.endpoint(account, sound.url);
  await room.happens(account);
  room.start();
  await allOver(account);
  const delivery = await only(account);
  expect(delivery).toMatchObject({ status: "delivered", tries: 1, last_status: 200, next_try_at: null });
  expect(await sendAgain(studio.sql, account, delivery.id)).toMatchObject({ id: delivery.id });
  await sound.until(2);
  await allOver(account);
  expect(new Set(sound.ids())).toEqual(new Set([delivery.id]));
  await updateEndpoint(studio.database, account, endpoint.id, { enabled: false });
  expect(await sendAgain(studio.sql, account, delivery.id)).toMatchObject({ code: "webhook_endpoint_disabled" });
});

test("what happened while an endpoint was disabled is replayed to it, what is pending is not sent twice", async () => {
  const account = await studio.account("pro");
  const endpoint = await room.endpoint(account, sound.url);
  await room.happens(account, 2);
  room.start();
  await allOver(account);
  await updateEndpoint(studio.database, account, endpoint.id, { enabled: false });
  await room.happens(account, 3);
  expect(await replay(account, { ...endpoint, enabled: false }, { starting_after: 0 })).toMatchObject({
    code: "webhook_endpoint_disabled",
  });
  await updateEndpoint(studio.database, account, endpoint.id, { enabled: true });
  await room.stop();
  const failed = { webhook_endpoint_id: endpoint.id, replayed: 3, last_sequence_number: 5, has_more: false };
  expect(await replay(account, endpoint, { starting_after: 0, status: "failed" })).toMatchObject(failed);
  expect(await replay(account, endpoint, { starting_after: 0, status: "failed" })).toMatchObject({ replayed: 0 });
  expect(await replay(account, endpoint, { starting_after: 1 })).toMatchObject({ replayed: 1 });
  const future = Math.floor(Date.now() / 1_000) + 3_600;
  expect(await replay(account, endpoint, { since: future })).toMatchObject({ replayed: 0, has_more: false });
  expect(await replay(account, endpoint, { since: future - 7_200 })).toMatchObject({ replayed: 1 });
  room = new MailRoom(studio);
  room.start();
  await sound.until(2 + 5);
  await allOver(account);
  const numbers = sound.received
    .slice(2)
    .map(({ body }) => (JSON.parse(body) as { sequence_number: number }).sequence_number);
  expect(numbers.toSorted((a, b) => a - b)).toEqual([1, 2, 3, 4, 5]);
});

test("a replay looks at a thousand events and says where to go on", async () => {
  const account = await studio.account("pro");
  const endpoint = await room.endpoint(account, sound.url, ["credits.refunded"]);
  await studio.sql`
    insert into event (account_id, sequence_number, id, type, data)
    select ${account}, n, 'evt_' || ${account.slice(5)} || lpad(to_hex(n), 16, '0'), 'credits.low_balance', '{}' from generate_series(1, 1001) as n`;
  const first = await replay(account, endpoint, { starting_after: 0 });
  expect(first).toMatchObject({ replayed: 0, last_sequence_number: 1_000, has_more: true });
  expect(await replay(account, endpoint, { starting_after: 1_000 })).toMatchObject({
    last_sequence_number: 1_001,
    has_more: false,
  });
});

test("a test is sent at once also to an endpoint that rests, one at a time, signed like any other", async () => {
  const account = await studio.account("pro");
  const endpoint = await room.endpoint(account, sound.url);
  await studio.sql`
    update webhook_endpoint set failures = 9, rested_until = now() + interval '1 h', due_at = now() + interval '1 h'
    where id = ${endpoint.id}`;
  const first = await sendTest(studio.sql, account, endpoint.id);
  expect(first).toMatchObject({ event_type: "webhook_endpoint.test", sequence_number: null, status: "pending" });
  expect(await sendTest(studio.sql, account, endpoint.id)).toEqual(first);
  room.start();
  await sound.until(1);
  const [received] = sound.received;
  expect(
    new Webhook(endpoint.secret ?? "").verify(received?.body ?? "", received?.headers as Record<string, string>),
  ).toMatchObject({ type: "webhook_endpoint.test", data: { webhook_endpoint_id: endpoint.id } });
  await allOver(account);
  expect(await readEndpoint(studio.database, account, endpoint.id)).toMatchObject({ failing_since: null });
});

test("the log has pages, and is read by endpoint and by status", async () => {
  const account = await studio.account("pro");
  const [one, two] = [await room.endpoint(account, sound.url), await room.endpoint(account, `${sound.url}/two`)];
  await room.happens(account, 3);
  const first = await page(account, { limit: 4 });
  expect([first.data.length, first.has_more]).toEqual([4, true]);
  const rest = await page(account, { limit: 4, after: first.last_id ?? "" });
  expect([rest.data.length, rest.has_more]).toEqual([2, false]);
  expect(new Set([...first.data, ...rest.data].map(({ id }) => id)).size).toBe(6);
  expect((await page(account, { webhook_endpoint_id: two.id })).data.map(({ url }) => url)).toEqual(
    Array(3).fill(`${sound.url}/two`),
  );
  expect((await page(account, { webhook_endpoint_id: one.id, status: "delivered" })).data).toEqual([]);
});

test("a video's own webhook_url is told of its end, signed with the account's secret, and is one endpoint for many videos", async () => {
  const account = await studio.account("pro", {});
  const url = `${sound.url}/mine`;
  const { secret } = await rotateAccountSecret(
    studio.database,
    account,
    { overlap_seconds: 0 },
    `whsec_${Buffer.alloc(32, 3).toString("base64")}`,
  );
  const named = await Promise.all([1, 2].map(() => studio.submitted(account, { ...TINY, webhook_url: url })));
  const plain = await studio.submitted(account);
  for (const job of [...named, plain]) await cancelVideo(studio.sql, account, job.id);
  expect(await listEndpoints(studio.database, account)).toEqual([]);
  room.start();
  await sound.until(2);
  await allOver(account);
  const bodies = sound.received.map(
    ({ body, headers }) =>
      new Webhook(secret).verify(body, headers as Record<string, string>) as { type: string; data: { id: string } },
  );
  expect(bodies.map(({ type }) => type)).toEqual(["video.failed", "video.failed"]);
  expect(new Set(bodies.map(({ data }) => data.id))).toEqual(new Set(named.map(({ id }) => id)));
  const { data } = await page(account);
  expect(new Set(data.map((delivery) => delivery.webhook_endpoint_id)).size).toBe(1);
  const [{ webhook_endpoint_id: id } = { webhook_endpoint_id: undefined }] = data;
  if (id === undefined) throw new Error("there are deliveries");
  expect(await readEndpoint(studio.database, account, id)).toMatchObject({ scope: "videos", url, enabled: true });
  expect(await updateEndpoint(studio.database, account, id, { url: "http://a.test" })).toMatchObject({ param: "url" });

  // Its receiver may leave, until a video names it again.
  await updateEndpoint(studio.database, account, id, { enabled: false });
  await studio.submitted(account, { ...TINY, webhook_url: url });
  expect(await readEndpoint(studio.database, account, id)).toMatchObject({ enabled: true, disabled_reason: null });
});

test("a video that names a receiver before the account has a secret is told under the one that a rotation replaces", async () => {
  const account = await studio.account("pro", {});
  const job = await studio.submitted(account, { ...TINY, webhook_url: sound.url });
  const fresh = `whsec_${Buffer.alloc(32, 4).toString("base64")}`;
  await rotateAccountSecret(studio.database, account, { overlap_seconds: 60 }, fresh);
  await cancelVideo(studio.sql, account, job.id);
  room.start();
  await sound.until(1);
  const [received] = sound.received;
  expect(String(received?.headers["webhook-signature"]).split(" ")).toHaveLength(2);
  expect(new Webhook(fresh).verify(received?.body ?? "", received?.headers as Record<string, string>)).toMatchObject({
    type: "video.failed",
  });
});

test("another account's endpoints and deliveries are not there, for any call", async () => {
  const [owner, stranger] = [await studio.account("pro"), await studio.account("pro")];
  const { database, sql } = studio;
  const endpoint = await room.endpoint(owner, sound.url);
  await room.happens(owner);
  const { id: delivery } = await only(owner);
  const missing = { code: "not_found" };
  const fresh = `whsec_${Buffer.alloc(32, 5).toString("base64")}`;
  expect(await readEndpoint(database, stranger, endpoint.id)).toMatchObject(missing);
  expect(await updateEndpoint(database, stranger, endpoint.id, { enabled: false })).toMatchObject(missing);
  expect(await rotateSecret(database, stranger, endpoint.id, { overlap_seconds: 0 }, fresh)).toMatchObject(missing);
  expect(await deleteEndpoint(database, stranger, endpoint.id)).toBe(false);
  expect(await readDelivery(sql, stranger, delivery)).toMatchObject(missing);
  expect(await sendAgain(sql, stranger, delivery)).toMatchObject(missing);
  expect(await sendTest(sql, stranger, endpoint.id)).toMatchObject({ code: "webhook_endpoint_disabled" });
  expect(await replay(stranger, endpoint, { starting_after: 0 })).toMatchObject({ replayed: 0 });
  expect((await page(stranger)).data).toEqual([]);
  expect(await readEndpoint(database, owner, endpoint.id)).toMatchObject({ enabled: true });
});
