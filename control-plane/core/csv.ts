/**
 * Rows of a CSV file by RFC 4180: comma, CRLF, quotes around what needs them, quotes inside doubled.
 *
 * Text that a spreadsheet would run as a formula gets an apostrophe in front, so that what an operator typed is shown and
 * never executed. Numbers are given as bigints and stay as they are, negative ones too.
 */
const RUNS_AS_FORMULA = /^\s*[=+\-@\t\r]/;
const NEEDS_QUOTES = /[",\r\n]/;

export type CsvValue = string | bigint | null;

export function csvRow(values: readonly CsvValue[]): string {
  return `${values.map(csvField).join(",")}\r\n`;
}

function csvField(value: CsvValue): string {
  if (value === null) return "";
  if (typeof value === "bigint") return String(value);
  const text = RUNS_AS_FORMULA.test(value) ? `'${value}` : value;
  return NEEDS_QUOTES.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
