import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Secrets } from "#cli/home.ts";
import type { Push } from "#protocol/edge-call.ts";
import { AccountId, RequestId } from "#protocol/id.ts";
import { signCall } from "#protocol/signed-call.ts";
import { residentBytes } from "#tests/chaos/processes.ts";
import { DeafSocket } from "#tests/support/deaf-socket.ts";
import { LiveSession } from "#tests/support/live-session.ts";
import { Product } from "#tests/support/product.ts";

const MIB = 2 ** 20;
const PUSHES = 100;
const ITEMS = 25;
const STAGE = "x".repeat(8_192);

let product: Product;
let secret: string;
beforeAll(async () => {
  product = await Product.start({ CALLSHEET_RUNNERS: "0" });
  secret = Secrets.parse(JSON.parse(await readFile(join(product.home, "secrets.json"), "utf8"))).edge_secret;
});
afterAll(() => product.stop());

/** What the control plane would send of a very busy account: 20 MiB for each of its sockets. Answers how many pushes were taken. */
async function flood(account: string, between: () => Promise<void>): Promise<number> {
  const url = new URL("/internal/v1/push", product.dev.edge_url);
  const items: Push["items"] = Array.from({ length: ITEMS }, () => ({
    kind: "progress",
    frame: {
      object: "event",
      type: "video.progress",
      data: { id: `video_${"0".repeat(32)}` as never, progress: 1, stage: STAGE },
    },
  }));
  let taken = 0;
  for (let push = 0; push < PUSHES; push++) {
    const body = new TextEncoder().encode(JSON.stringify({ items }));
    const requestId = RequestId.parse(`req_${crypto.randomUUID().replaceAll("-", "")}`);
    const call = { method: "POST", url, body, account: AccountId.parse(account), requestId };
    const headers = await signCall(call, secret, Date.now());
    const answer = await fetch(url, { method: "POST", headers, body });
    await answer.body?.cancel();
    if (answer.ok) taken += 1;
    await between();
  }
  return taken;
}

test("clients that do not read are cut with 4101, whatever they say, cost little memory, and disturb nobody", async () => {
  const { id, apiKey } = await product.account("pro");
  const good = await LiveSession.open(product.dev.edge_url, apiKey);
  await good.until("caught up", ({ type }) => type === "caught_up");
  let frames = good.frames.length;
  const read = async () => {
    good.ping();
    await good.count((frames += ITEMS));
  };
  const deaf = await Promise.all([1, 2, 3, 4].map(() => DeafSocket.open(product.dev.edge_url, apiKey)));
  const { edge } = await product.pids();
  const resident: number[] = [];
  for (let round = 0; round < 3; round++) {
    // They ping as if they read; so does the one that does.
    const taken = await flood(id, async () => {
      for (const socket of deaf) socket.say("ping");
      await read();
    });
    expect(taken).toBe(PUSHES);
    resident.push(await residentBytes(edge));
  }
  const [first = 0, , third = 0] = resident;
  console.info(
    `4 deaf clients, 80 MiB offered a round: ${resident.map((bytes) => Math.round(bytes / MIB)).join(", ")} MiB`,
  );
  // By the end of the first round they are cut: 160 MiB more go nowhere.
  expect(third - first).toBeLessThan(80 * MIB);
  expect(await Promise.all(deaf.map((socket) => socket.closeCode()))).toEqual([4101, 4101, 4101, 4101]);
  expect(await good.close()).toBe(1_000);
});

test("many that do not read are all dropped, and the memory is given back", async () => {
  const { id, apiKey } = await product.account("pro");
  const { edge } = await product.pids();
  const grown: number[] = [];
  for (let round = 0; round < 3; round++) {
    const deaf = await Promise.all(Array.from({ length: 10 }, () => DeafSocket.open(product.dev.edge_url, apiKey)));
    await flood(id, async () => undefined);
    grown.push(await residentBytes(edge));
    for (const socket of deaf) socket.destroy();
  }
  const [first = 0, , third = 0] = grown;
  console.info(
    `rounds of 10 deaf clients, 200 MiB offered each: ${grown.map((bytes) => Math.round(bytes / MIB)).join(", ")} MiB`,
  );
  // 200 MiB more were offered in each round.
  expect(third - first).toBeLessThan(80 * MIB);
  const good = await LiveSession.open(product.dev.edge_url, apiKey);
  expect(await good.close()).toBe(1_000);
});
