/** As `control-plane/db/credit-notices.ts`; grants of the simulation do not end. */
import type { EndingGrant, MovedBalance, WatchWindow } from "#control-plane/db/credit-notices.ts";
import type { Sql, Transaction } from "#control-plane/db/connect.ts";
import type { AccountId } from "#protocol/id.ts";
import { milliCredits } from "#protocol/unit.ts";
import { statement } from "../postgres/client.ts";
import { tables } from "../postgres/here.ts";

export function nextWindow(
  sql: Sql,
  { overlapMs, stepMs }: { readonly overlapMs: number; readonly stepMs: number },
): Promise<WatchWindow> {
  return statement(sql, "nextWindow", (on) => {
    const through = on.get(tables().watch, "watch") ?? on.clock();
    const to = Math.min(on.clock().getTime(), through.getTime() + stepMs);
    return { from: new Date(through.getTime() - overlapMs), to: new Date(to) };
  });
}

export function saveWatch(tx: Transaction, _epoch: number, through: Date): Promise<void> {
  return statement(tx, "saveWatch", (on) => {
    const { watch } = tables();
    on.lock(watch, "watch");
    const before = on.get(watch, "watch");
    on.put(watch, "watch", before !== null && before > through ? before : through);
  });
}

export function movedBalances(sql: Sql, { from, to }: WatchWindow): Promise<readonly MovedBalance[]> {
  return statement(sql, "movedBalances", (on) => {
    const spent = new Map<AccountId, boolean>();
    for (const entry of on.rows(tables().entry)) {
      if (entry.at <= from || entry.at > to) continue;
      if (entry.fromBook !== "available" && entry.toBook !== "available") continue;
      spent.set(entry.accountId, (spent.get(entry.accountId) ?? false) || entry.fromBook === "available");
    }
    return [...spent].map(([account, isSpent]) => {
      let available = 0n;
      for (const grant of on.rows(tables().grant)) if (grant.accountId === account) available += grant.available;
      const told = on.get(tables().notice, `${account} low_balance`) !== null;
      return { account, available: milliCredits(available), spent: isSpent, told };
    });
  });
}

export function endingGrants(_sql: Sql, _window: WatchWindow, _leadMs: number): Promise<readonly EndingGrant[]> {
  return Promise.resolve([]);
}

export function noteTold(
  tx: Transaction,
  account: AccountId,
  subject: { readonly grant: string } | "low_balance",
): Promise<boolean> {
  return statement(tx, "noteTold", (on) => {
    const key = `${account} ${subject === "low_balance" ? subject : subject.grant}`;
    on.lock(tables().notice, key);
    if (on.get(tables().notice, key) !== null) return false;
    on.put(tables().notice, key, true);
    return true;
  });
}

export function forgetLowBalance(tx: Transaction, account: AccountId): Promise<void> {
  return statement(tx, "forgetLowBalance", (on) => on.put(tables().notice, `${account} low_balance`, null));
}
