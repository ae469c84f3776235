/** The one table: fault, rounds, worst figure and median, goal, verdict; for the terminal and as markdown. */
import type { Figure, Goal, RowResult } from "./row.ts";

type Verdict = "held" | "missed" | "BROKEN" | "not run here";

const HEAD = ["row", "fault", "rounds", "worst figure (median)", "goal", "verdict"] as const;

export function isBroken(result: RowResult): boolean {
  return result.breaches.length > 0 || result.figures.some((figure) => verdictOf(figure) === "BROKEN");
}

export function tableOf(results: readonly RowResult[]): string {
  const lines = [HEAD, ...results.flatMap(linesOf)];
  const widths = HEAD.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? "").length)));
  const print = (line: readonly string[]) =>
    `| ${line.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`;
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [print(HEAD), rule, ...lines.slice(1).map(print)].join("\n");
}

/** Under the table: what was broken, and what a figure cannot say. */
export function notesOf(results: readonly RowResult[]): string {
  return results
    .flatMap(({ row, breaches, notes, notRun }) => [
      ...(notRun === null ? [] : [`${row.id} not run here: ${notRun}`]),
      ...breaches.map((breach) => `${row.id} BROKEN: ${breach}`),
      ...notes.map((note) => `${row.id}: ${note}`),
    ])
    .join("\n");
}

function linesOf(result: RowResult): readonly (readonly string[])[] {
  const { row, rounds, figures, breaches, notRun } = result;
  if (notRun !== null) return [[row.id, row.fault, "0", "", "", "not run here"]];
  const measured = figures.map((figure, index) => [
    index === 0 ? row.id : "",
    index === 0 ? row.fault : "",
    index === 0 ? String(rounds) : "",
    `${figure.goal.says}: ${seenOf(figure)}`,
    `≤ ${amountOf(figure.goal.most, figure.goal)}`,
    verdictOf(figure),
  ]);
  const safety = ["", "", "", `promises broken: ${breaches.length}`, "0", breaches.length === 0 ? "held" : "BROKEN"];
  return [...measured, safety];
}

function verdictOf({ goal, worst }: Figure): Verdict {
  if (worst !== null && worst <= goal.most) return "held";
  return goal.kind === "safety" ? "BROKEN" : "missed";
}

function seenOf({ goal, worst, median }: Figure): string {
  if (worst === null || median === null) return "never seen";
  return goal.kind === "time" ? `${amountOf(worst, goal)} (${amountOf(median, goal)})` : amountOf(worst, goal);
}

function amountOf(value: number, { unit }: Goal): string {
  if (unit === "ms") return `${(value / 1_000).toFixed(2)} s`;
  return unit === "%" ? `${value.toFixed(0)} %` : String(value);
}
