import { once } from "node:events";
import { connect as dial, createServer } from "node:net";
import type { AddressInfo, Socket } from "node:net";
import postgres from "postgres";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { watchedSocket } from "#control-plane/db/watched-socket.ts";
import type { Address } from "#control-plane/db/watched-socket.ts";
import { createTestDatabase } from "#tests/support/postgres.ts";
import type { TestDatabase } from "#tests/support/postgres.ts";

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const closers: (() => void)[] = [];
afterEach(() => {
  for (const close of closers.splice(0)) close();
});

/** A way to the database that can be made to swallow everything, as a cut network does. */
async function tunnel(to: URL): Promise<{ readonly url: string; swallow(): void }> {
  const sockets: Socket[] = [];
  let open = true;
  const server = createServer((near) => {
    const far = dial(Number(to.port), to.hostname);
    sockets.push(near, far);
    near.on("data", (data) => open && far.write(data));
    far.on("data", (data) => open && near.write(data));
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on("error", () => undefined);
      one.on("close", () => other.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const url = new URL(to);
  url.port = String((server.address() as AddressInfo).port);
  return { url: url.href, swallow: () => (open = false) };
}

test("a statement whose server is cut off fails instead of waiting for ever; an idle connection is left alone", async () => {
  const { url, swallow } = await tunnel(new URL(database.url));
  const dialled: Socket[] = [];
  const hasty = {
    socket(address: Address) {
      const made = watchedSocket(address, 300);
      dialled.push(made);
      return made;
    },
  };
  const sql = postgres(url, { max: 1, ...hasty });
  closers.push(() => void sql.end({ timeout: 0 }));
  const [first] = await sql`select pg_backend_pid() as pid`;
  const [only] = dialled;
  if (only === undefined) throw new Error("it was dialled");
  await once(only, "timeout"); // That long without a byte: nothing was asked.
  const [later] = await sql`select pg_backend_pid() as pid`;
  expect(later?.["pid"]).toBe(first?.["pid"]);

  swallow();
  await expect(sql`select 1`).rejects.toMatchObject({ code: "CONNECTION_SILENT" });
});

test("a server that refuses connections is a fault of the statement, and the next one tries anew", async () => {
  const closed = new URL(database.url);
  closed.port = "1";
  const watched = { socket: watchedSocket };
  const sql = postgres(closed.href, { max: 2, ...watched });
  closers.push(() => void sql.end({ timeout: 0 }));
  for (let round = 0; round < 5; round++) {
    await expect(sql`select 1`).rejects.toMatchObject({ code: "ECONNREFUSED" });
  }
});
