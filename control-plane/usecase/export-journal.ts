/** The journal as CSV, a batch at a time: a header, then one line an entry, oldest first. */
import { csvRow } from "#control-plane/core/csv.ts";
import type { CsvValue } from "#control-plane/core/csv.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { exportJournal } from "#control-plane/db/ledger-read.ts";
import type { JournalRow } from "#control-plane/db/ledger-read.ts";

/** Amounts are whole milli-credits: nothing is rounded on the way into a spreadsheet. */
const COLUMNS: readonly (readonly [string, (row: JournalRow) => CsvValue])[] = [
  ["id", (row) => row.id],
  ["at", (row) => row.at.toISOString()],
  ["account_id", (row) => row.accountId],
  ["type", (row) => row.kind],
  ["grant_id", (row) => row.grantId],
  ["video_id", (row) => row.jobId],
  ["from_book", (row) => row.fromBook],
  ["to_book", (row) => row.toBook],
  ["amount_milli", (row) => row.amount],
  ["available_effect_milli", (row) => row.effect],
  ["available_after_milli", (row) => row.availableAfter],
  ["act_id", (row) => row.actId],
  ["reason", (row) => row.reason],
];

export async function* journalCsv(sql: Sql, from: Date, to: Date): AsyncGenerator<string> {
  yield csvRow(COLUMNS.map(([name]) => name));
  for await (const batch of exportJournal(sql, from, to)) {
    yield batch.map((row) => csvRow(COLUMNS.map(([, valueOf]) => valueOf(row)))).join("");
  }
}
