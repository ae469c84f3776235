/**
 * A CSV file row by row, never more of it in memory than a chunk and a line.
 *
 * Cells are plain: what the trace holds needs no quotes, so a quote is a fault and not a rule to guess.
 */
import { createReadStream } from "node:fs";

/** Of one line, its end included; longer ones are not a CSV of this kind. */
const LINE_CHARS_MAX = 65_536;
const BYTE_ORDER_MARK = "\uFEFF";

export interface CsvRow {
  /** As an editor counts: the header is line 1. */
  readonly line: number;
  readonly cells: readonly string[];
}

/** A row that cannot be used, with the place where a person finds it. */
export class BadRow extends Error {
  constructor(path: string, line: number, why: string) {
    super(`${path}:${line}: ${why}`);
    this.name = "BadRow";
  }
}

export async function* csvRows(path: string): AsyncGenerator<CsvRow> {
  let line = 0;
  for await (const text of lines(path)) {
    line++;
    const row = (line === 1 && text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text).replace(/\r$/, "");
    if (row === "") continue;
    if (row.includes('"')) throw new BadRow(path, line, "cells in quotes are not expected here");
    yield { line, cells: row.split(",").map((cell) => cell.trim()) };
  }
}

async function* lines(path: string): AsyncGenerator<string> {
  let rest = "";
  let number = 1;
  for await (const chunk of createReadStream(path, "utf8") as AsyncIterable<string>) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop() ?? "";
    for (const part of parts) {
      yield part;
      number++;
    }
    if (rest.length > LINE_CHARS_MAX)
      throw new BadRow(path, number, `the line has more than ${LINE_CHARS_MAX} characters`);
  }
  if (rest !== "") yield rest;
}
