/** As `control-plane/db/admission-summary.ts`. */
import type { Outlook } from "#control-plane/core/scheduler/quotes.ts";
import type { SummaryRow } from "#control-plane/db/admission-summary.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";

export function saveOutlooks(tx: Transaction, epoch: number, outlooks: readonly Outlook[]): Promise<void> {
  return statement(tx, "saveOutlooks", (on) => {
    for (const { tier, class: className, queued, backlogMs, start } of outlooks) {
      on.put(tables().summary, `${tier}|${className}`, {
        tier,
        class: className,
        queued,
        backlogMs: BigInt(Math.round(backlogMs)),
        startP50Ms: start === null ? null : BigInt(Math.round(start.p50Ms)),
        startP90Ms: start === null ? null : BigInt(Math.round(start.p90Ms)),
        epoch,
        at: on.clock(),
      });
    }
  });
}

export function freshOutlooks(sql: Sql, ageMaxMs: number): Promise<readonly SummaryRow[]> {
  return statement(sql, "freshOutlooks", (on) => {
    const now = on.clock().getTime();
    return [...on.rows(tables().summary)]
      .map((row) => ({ ...row, ageMs: now - row.at.getTime() }))
      .filter(({ ageMs }) => ageMs < ageMaxMs);
  });
}
