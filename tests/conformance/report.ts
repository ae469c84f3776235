/** What a run of the suite says, as a table: for people on a terminal, and for docs/conformance.md between two markers. */
import { z } from "zod";
import { markdown } from "#sim/text-table.ts";

export const Row = z.strictObject({
  call: z.string(),
  title: z.string(),
  verdict: z.enum(["pass", "fail", "not yet"]),
  /** Why it failed, or what it waits for. */
  detail: z.string().nullable(),
});
export type Row = z.infer<typeof Row>;

export const Report = z.strictObject({
  /** Which part of the document it fills. */
  name: z.enum(["javascript", "python"]),
  sdk: z.string(),
  rows: z.array(Row),
});
export type Report = z.infer<typeof Report>;

export function tally({ rows }: Report): string {
  const count = (verdict: Row["verdict"]): number => rows.filter((row) => row.verdict === verdict).length;
  return `${count("pass")} of ${rows.length} pass, ${count("fail")} fail, ${count("not yet")} not yet`;
}

export function asText(report: Report): string {
  const width = Math.max(...report.rows.map(({ call }) => call.length));
  const lines = report.rows.map(({ call, title, verdict, detail }) => {
    const why = detail === null ? "" : `\n${" ".repeat(11)}${detail}`;
    return `${verdict.padEnd(9)}  ${call.padEnd(width)}  ${title}${why}`;
  });
  return [report.sdk, ...lines, tally(report)].join("\n");
}

function asMarkdown(report: Report): string {
  const rows = report.rows.map(({ call, title, verdict, detail }) => {
    const shown = detail === null ? verdict : `${verdict}: ${detail}`;
    return [`\`${call}\``, title, shown];
  });
  return `**${report.sdk}**: ${tally(report)}.\n\n${markdown([["call", "what holds", "verdict"], ...rows])}`;
}

/** The document with this report in its place. */
export function filledIn(document: string, report: Report): string {
  const [begin, end] = [`<!-- report: ${report.name} -->`, `<!-- end of report: ${report.name} -->`];
  const [from, to] = [document.indexOf(begin), document.indexOf(end)];
  if (from === -1 || to < from) throw new Error(`the document has no place for the report '${report.name}'`);
  return `${document.slice(0, from + begin.length)}\n\n${asMarkdown(report)}\n\n${document.slice(to)}`;
}
