/**
 * The PostgreSQL clients of a replica: `sql` for hand-written statements and transactions of requests, `orm` (drizzle) for plain
 * CRUD. Two, because drizzle re-maps the types of the client it is given.
 *
 * Beside `sql` there are lanes with connections of their own, so that a flood of requests cannot starve what must go on: `loops`
 * (the leader's lease, renewals of runners, their ends and progress, the scheduler), `hooks` (webhooks), `admin` (the operator,
 * who is needed most when everything else is stuck). All together a replica has at most `CONNECTIONS_MAX`.
 *
 * Session timeouts bound what a frozen replica can block: a row that it locked is free after 1.5 s. A server that is cut off
 * fails what waits for it after 8 s (`watched-socket.ts`).
 */
import { drizzle } from "./drizzle.ts";
import postgres from "postgres";
import { watchedSocket } from "./watched-socket.ts";

const POOL_CONNECTIONS_MAX = 8;
const ORM_CONNECTIONS_MAX = 2;
const LANE_CONNECTIONS_MAX = { loops: 5, hooks: 3, admin: 2 } as const;
/** Of one replica. */
export const CONNECTIONS_MAX =
  POOL_CONNECTIONS_MAX +
  ORM_CONNECTIONS_MAX +
  LANE_CONNECTIONS_MAX.loops +
  LANE_CONNECTIONS_MAX.hooks +
  LANE_CONNECTIONS_MAX.admin;
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
  const sql = client(databaseUrl, connectionsMax);
  const [loops, hooks, admin] = [
    client(databaseUrl, LANE_CONNECTIONS_MAX.loops),
    client(databaseUrl, LANE_CONNECTIONS_MAX.hooks),
    client(databaseUrl, LANE_CONNECTIONS_MAX.admin),
  ];
  const ormClient = postgres(databaseUrl, { ...options(ORM_CONNECTIONS_MAX) });
  return {
    sql,
    loops,
    hooks,
    admin,
    orm: drizzle({ client: ormClient }),
    async close(): Promise<void> {
      await Promise.all([sql, loops, hooks, admin, ormClient].map((each) => each.end({ timeout: 5 })));
    },
  };
}

/** Connections are opened when they are needed first. */
function client(databaseUrl: string, connectionsMax: number): Sql {
  return postgres(databaseUrl, {
    ...options(connectionsMax),
    types: TYPES,
    // SQL keeps snake_case; rows arrive with the names of `core`.
    transform: { column: { from: postgres.toCamel } },
    onnotice: () => {},
  });
}

function options(connectionsMax: number) {
  return {
    ...SOCKET,
    max: connectionsMax,
    connect_timeout: CONNECT_TIMEOUT_S,
    backoff: () => RECONNECT_S * (0.5 + Math.random()),
    connection: SESSION,
  };
}
