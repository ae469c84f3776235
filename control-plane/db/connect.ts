/**
 * The two PostgreSQL clients of a replica: `sql` for every hand-written statement and transaction, `orm` (drizzle) for
 * plain CRUD. Two, because drizzle re-maps the types of the client it is given.
 *
 * Session timeouts bound what a frozen replica can block: a row that it locked is free after 1.5 s. A server that is cut off
 * fails what waits for it after 8 s (`watched-socket.ts`).
 */
import { drizzle } from "./drizzle.ts";
import postgres from "postgres";
import { watchedSocket } from "./watched-socket.ts";

const POOL_CONNECTIONS_MAX = 10;
const ORM_CONNECTIONS_MAX = 2;
const CONNECT_TIMEOUT_S = 5;
/** The driver would wait up to 20 s once the server was away for a while; leases run on meanwhile. */
const RECONNECT_S = 0.1;

const SESSION = {
  application_name: "callsheet",
  idle_in_transaction_session_timeout: 1_500,
  statement_timeout: 5_000,
  lock_timeout: 1_000,
} as const;

/** A documented option of the driver that its types leave out. */
const SOCKET = { socket: watchedSocket };
const TYPES = { bigint: postgres.BigInt };

export type Sql = postgres.Sql<{ bigint: bigint }>;
export type Transaction = postgres.TransactionSql<{ bigint: bigint }>;

export type Database = ReturnType<typeof connect>;

export function connect(databaseUrl: string, connectionsMax = POOL_CONNECTIONS_MAX) {
  const sql: Sql = postgres(databaseUrl, {
    ...SOCKET,
    max: connectionsMax,
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff: () => RECONNECT_S * (0.5 + Math.random()),
    connection: SESSION,
    types: TYPES,
    // SQL keeps snake_case; rows arrive with the names of `core`.
    transform: { column: { from: postgres.toCamel } },
    onnotice: () => {},
  });
  const ormClient = postgres(databaseUrl, {
    ...SOCKET,
    max: ORM_CONNECTIONS_MAX,
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff: () => RECONNECT_S * (0.5 + Math.random()),
    connection: SESSION,
  });
  return {
    sql,
    orm: drizzle({ client: ormClient }),
    async close(): Promise<void> {
      await Promise.all([sql.end({ timeout: 5 }), ormClient.end({ timeout: 5 })]);
    },
  };
}
