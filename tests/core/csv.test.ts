import { expect, test } from "vitest";
import { csvRow } from "#control-plane/core/csv.ts";

test.each([
  ["plain text", "fox", "fox"],
  ["a comma", "fox, red", '"fox, red"'],
  ["quotes", 'a "red" fox', '"a ""red"" fox"'],
  ["two lines", "red\nfox", '"red\nfox"'],
  ["nothing", null, ""],
  ["a negative number", -5n, "-5"],
  ["a formula", "=1+1", "'=1+1"],
  ["a formula with a comma", "=SUM(A1,A2)", `"'=SUM(A1,A2)"`],
  ["a formula behind blanks", "  @cmd", "'  @cmd"],
  ["a tab in front", "\t=1", "'\t=1"],
  ["a line break in front", "\r=1", `"'\r=1"`],
  ["a minus in front", "-2+3", "'-2+3"],
  ["a plus in front", "+2", "'+2"],
])("%s is one field of a row and never a formula", (_what, value, field) => {
  expect(csvRow(["a", value, 1n])).toBe(`a,${field},1\r\n`);
});
