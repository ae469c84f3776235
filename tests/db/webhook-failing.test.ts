/** Receivers that fail in every way there is, over real HTTP: the event comes again under the same id until one of them takes it. */
import { createServer } from "node:http";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { readDeliveries } from "#control-plane/usecase/webhook-log.ts";
import type { AccountId } from "#protocol/id.ts";
import { DeliveryQuery } from "#protocol/webhook.ts";
import { MailRoom } from "#tests/support/mail-room.ts";
import { Studio } from "#tests/support/studio.ts";
import { WebhookReceiver } from "#tests/support/webhook-receiver.ts";
import type { Answer } from "#tests/support/webhook-receiver.ts";

let studio: Studio;
let room: MailRoom;
let elsewhere: WebhookReceiver;
const receivers: WebhookReceiver[] = [];
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());
beforeEach(async () => {
  room = new MailRoom(studio);
  elsewhere = await receiver(200);
});
afterEach(async () => {
  await Promise.all(receivers.splice(0).map((each) => each.stop()));
  await room.stop();
  await studio.sql`delete from webhook_endpoint`;
});

async function receiver(answer: Answer): Promise<WebhookReceiver> {
  const started = await WebhookReceiver.start(answer);
  receivers.push(started);
  return started;
}

/** The one delivery of the account, once it was tried so often and is not being tried. */
function tried(account: AccountId, tries: number) {
  return room.until(async () => {
    const query = DeliveryQuery.parse({ order: "asc", limit: 10 });
    const [delivery] = (await readDeliveries(studio.sql, account, query)).data;
    const settled = delivery?.last_status !== null || delivery?.last_error !== null;
    return delivery !== undefined && delivery.tries >= tries && settled ? delivery : undefined;
  });
}

async function timePasses(): Promise<void> {
  await studio.sql`update webhook_delivery set next_at = now() where next_at is not null`;
  await studio.sql`update webhook_endpoint set rested_until = null, due_at = now()`;
}

test.each<[string, () => Answer]>([
  ["answers 500", () => 500],
  ["resets the connection", () => (response) => response.destroy()],
  ["breaks off within the head", () => (response) => response.socket?.end("HTTP/1.1 200 O")],
  ["sends it elsewhere", () => (response) => response.writeHead(307, { location: elsewhere.url }).end()],
  ["says that it moved for good", () => (response) => response.writeHead(301, { location: elsewhere.url }).end()],
])("a receiver that %s gets the event again under the same id, and nobody else gets it", async (_, answer) => {
  const account = await studio.account("pro");
  const failing = await receiver(answer());
  await room.endpoint(account, failing.url);
  await room.happens(account, 1);
  room.start();
  await failing.until(1);
  expect((await tried(account, 1)).status).toBe("pending");
  failing.answer(200);
  await timePasses();
  await failing.until(2);
  await room.until(async () => ((await tried(account, 2)).status === "delivered" ? true : undefined));
  expect(new Set(failing.ids()).size).toBe(1);
  expect(new Set(failing.received.map(({ body }) => body)).size).toBe(1);
  expect(elsewhere.received).toEqual([]);
});

test("a receiver that is down gets the event under its first id once it is up", async () => {
  const account = await studio.account("pro");
  const reserved = createServer().listen(0, "127.0.0.1");
  await once(reserved, "listening");
  const { port } = reserved.address() as AddressInfo;
  reserved.close();
  await once(reserved, "close");
  await room.endpoint(account, `http://127.0.0.1:${port}/hook`);
  await room.happens(account, 1);
  room.start();
  const failed = await tried(account, 1);
  expect(failed).toMatchObject({ status: "pending", last_status: null, last_error: expect.any(String) as string });
  const ids: string[] = [];
  const heard = Promise.withResolvers<void>();
  const up = createServer((request, response) => {
    ids.push(String(request.headers["webhook-id"]));
    response.end();
    heard.resolve();
  }).listen(port, "127.0.0.1");
  await once(up, "listening");
  await timePasses();
  await heard.promise;
  const [stored] = await studio.sql<{ id: string }[]>`select id from webhook_delivery where account_id = ${account}`;
  expect(ids).toEqual([stored?.id]);
  up.close();
});
