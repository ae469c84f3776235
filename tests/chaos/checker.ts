/**
 * Reads what is left after a row healed (client histories, tables, runners' logs, receiver log, files) and says what was broken. It
 * first waits until everything acknowledged has ended; what has not by then is lost.
 */
import { join } from "node:path";
import { connect } from "#control-plane/db/connect.ts";
import { auditLedger } from "#control-plane/usecase/audit-ledger.ts";
import { until } from "#tests/support/product.ts";
import type { History } from "./history.ts";
import { brokenFiles, gaps, heldDevices, lostOrTwice, overlaps, untold, wrongEndings, wrongMoney } from "./oracles.ts";
import { runnerLogs } from "./runner-logs.ts";
import type { Site } from "./site.ts";

export const QUIESCENCE_MS = 60_000;

interface Scope {
  readonly site: Site;
  readonly history: History;
  readonly accountIds: readonly string[];
  readonly sinceMs: number;
  /** Files below the store's jobs that were spoiled on purpose. */
  readonly spoiled: ReadonlySet<string>;
}

export interface Checked {
  readonly breaches: readonly string[];
  /** No breach, but worth a line. */
  readonly note: string;
}

export async function check(scope: Scope): Promise<Checked> {
  const { site, accountIds, sinceMs, history } = scope;
  const { sql, home } = site.product;
  const accounts = [...accountIds];
  const unrest = await quiesce(scope);
  const logs = await runnerLogs(sql, accounts, home);
  const breaches = [
    ...unrest,
    ...logs.breaches,
    ...(await lostOrTwice(sql, accounts, history)),
    ...(await wrongEndings(sql, accounts)),
    ...(await wrongMoney(sql, accounts)),
    ...(await overlaps(sql, accounts)),
    ...(await gaps(sql, accounts)),
    ...(await heldDevices(sql)),
    ...(await untold(sql, accounts, site.receiver.log)),
    ...(await brokenFiles(sql, accounts, join(home, "store"), scope.spoiled)),
    ...(await site.witness.breaches(sinceMs)),
    ...(await brokenLedger(site.product.dev.database_url)),
  ];
  return { breaches, note: `runners were told of ${logs.stale} stale attempts` };
}

/** Everything ended and everybody was told, or it is said what did not. */
async function quiesce({ site, accountIds }: Scope): Promise<readonly string[]> {
  const { sql } = site.product;
  const accounts = [...accountIds];
  try {
    await until("everything has ended", QUIESCENCE_MS, async () => {
      const rows = await sql`select 1 from job where account_id = any(${accounts}) and finished_at is null
        union all select 1 from webhook_delivery d join webhook_endpoint e on e.id = d.endpoint_id
          where e.account_id = any(${accounts}) and d.next_at is not null
        union all select 1 from device_claim limit 1`;
      return rows.length === 0;
    });
    return [];
  } catch {
    const stuck = await sql`select id, state, epoch, runner_id, runner_deaths, not_before, lease_expires_at from job
      where account_id = any(${accounts}) and finished_at is null order by created_at limit 5`;
    return [`not at rest after ${QUIESCENCE_MS / 1_000} s: ${JSON.stringify(stuck)}`];
  }
}

async function brokenLedger(databaseUrl: string): Promise<readonly string[]> {
  const database = connect(databaseUrl, 1);
  try {
    const { breaches } = await auditLedger(database.sql);
    return breaches.map(({ rule, row }) => `ledger ${rule}: ${row}`);
  } finally {
    await database.close();
  }
}
