/** Plays a sequence of commands on the model of PostgreSQL and prints one JSON line a command: `SEED COMMANDS`. */
import type { Sql } from "#control-plane/db/connect.ts";
import { hookProduct } from "./system/hooks.ts";

hookProduct(null);
const { Kernel } = await import("./kernel/kernel.ts");
const { PostgresServer } = await import("./postgres/server.ts");
const { setServer } = await import("./postgres/here.ts");
const { DirectSql } = await import("./postgres/direct.ts");
const { modelRows } = await import("./postgres/rows.ts");
const { accountId, furnish } = await import("./world/studio.ts");
const { play } = await import("./play.ts");

const [seed, commands] = process.argv.slice(2).map(Number);
const server = new PostgresServer(new Kernel(seed ?? 1), 0);
setServer(server);
furnish(server.tables, 2);
const sql = new DirectSql(server) as unknown as Sql;
const lines = await play(seed ?? 1, commands ?? 1, {
  sql,
  accounts: [accountId(0), accountId(1)],
  rows: () => Promise.resolve(modelRows(server.tables)),
});
process.stdout.write(`${lines.join("\n")}\n`);
