/**
 * What receivers that never answer cost those that do: the time from an event's commit to its first try at 90 sound endpoints,
 * while 10 others are sound too and while those 10 are tarpits, in turns in one run.
 *
 * `npm run bench:webhooks [-- rounds [deliveries a second]]`. PostgreSQL is durable, HTTP is real and on loopback; every round
 * has new accounts and endpoints and 1,000 deliveries, offered at their times however long earlier ones take.
 */
import { migrate } from "#control-plane/db/migrate.ts";
import type { AccountId } from "#protocol/id.ts";
import { MailRoom } from "#tests/support/mail-room.ts";
import { openServer } from "#tests/support/own-postgres.ts";
import { Studio } from "#tests/support/studio.ts";
import { WebhookReceiver } from "#tests/support/webhook-receiver.ts";

const ENDPOINTS = 100;
const OTHERS = 10;
const DELIVERIES = 1_000;
const rounds = Number(process.argv[2] ?? 3);
const perSecond = Number(process.argv[3] ?? 100);

interface Round {
  readonly firstTriesMs: readonly number[];
  readonly heldMax: number;
}

const server = await openServer({ durable: true });
try {
  await migrate(server.url);
  const studio = new Studio(server.url, async () => undefined);
  try {
    await round(studio, "sound"); // Nothing is compiled or cached before.
    const seen: Record<"sound" | "tarpits", Round[]> = { sound: [], tarpits: [] };
    for (let turn = 0; turn < rounds; turn++) {
      for (const others of ["sound", "tarpits"] as const) seen[others].push(await round(studio, others));
    }
    console.log(`| the other ${OTHERS} endpoints | first tries | p50 ms | p99 ms | max ms | held by them |`);
    console.log("| --- | ---: | ---: | ---: | ---: | ---: |");
    const p99 = (["sound", "tarpits"] as const).map((others) => {
      const all = seen[others].flatMap(({ firstTriesMs }) => firstTriesMs).toSorted((a, b) => a - b);
      const held = Math.max(...seen[others].map(({ heldMax }) => heldMax));
      const figures = [0.5, 0.99, 1].map((share) => quantile(all, share).toFixed(1));
      console.log(`| ${[others, all.length, ...figures, held].join(" | ")} |`);
      return quantile(all, 0.99);
    });
    console.log(`tarpits add ${((p99[1] ?? 0) - (p99[0] ?? 0)).toFixed(1)} ms at p99`);
  } finally {
    await studio.close();
  }
} finally {
  await server.close();
}

async function round(studio: Studio, others: "sound" | "tarpits"): Promise<Round> {
  await studio.sql`delete from webhook_endpoint`;
  const sound = await WebhookReceiver.start(200);
  const other = await WebhookReceiver.start(others === "sound" ? 200 : () => undefined);
  const room = new MailRoom(studio, 200);
  const accounts: AccountId[] = [];
  for (let n = 0; n < ENDPOINTS; n++) {
    const account = await studio.account("pro");
    await room.endpoint(account, (n < OTHERS ? other : sound).url);
    accounts.push(account);
  }
  room.start();
  try {
    const measured = (DELIVERIES / ENDPOINTS) * (ENDPOINTS - OTHERS);
    const committed = await offer(room, accounts);
    await sound.until(measured);
    const firstTriesMs = sound.received.map(({ body, atMs }) => {
      const { sequence_number: number, data } = JSON.parse(body) as {
        sequence_number: number;
        data: { threshold: string };
      };
      const since = committed.get(`${data.threshold} ${number}`);
      if (since === undefined) throw new Error("an event was received that nobody appended");
      return Math.max(0, atMs - since);
    });
    return { firstTriesMs, heldMax: other.openMax };
  } finally {
    await Promise.all([sound.stop(), other.stop()]);
    await room.stop();
  }
}

/** When each event was committed, by account and number. */
async function offer(room: MailRoom, accounts: readonly AccountId[]): Promise<ReadonlyMap<string, number>> {
  const committed = new Map<string, number>();
  const startedMs = performance.now();
  const appended: Promise<void>[] = [];
  for (let n = 0; n < DELIVERIES; n++) {
    const dueMs = startedMs + (n * 1_000) / perSecond;
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    const index = n % accounts.length;
    const account = accounts[index];
    if (account === undefined) throw new Error("there are accounts");
    const number = Math.floor(n / accounts.length) + 1;
    appended.push(
      room.happens(account, 1, String(index)).then(() => void committed.set(`${index} ${number}`, performance.now())),
    );
  }
  await Promise.all(appended);
  return committed;
}

function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}
