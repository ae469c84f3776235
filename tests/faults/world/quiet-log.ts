/** The product's log, folded into the history: a line that differs between two runs of a seed is seen. */
import type { Logger } from "pino";
import type { Kernel } from "../kernel/kernel.ts";

/** The members of a logger that the product uses. */
export function simulatedLog(kernel: Kernel): Logger {
  const line = (level: string) => (fields: Readonly<Record<string, unknown>>, message: string) => {
    const { err } = fields;
    kernel.note(`${level}: ${message}${err instanceof Error ? ` (${err.message.slice(0, 120)})` : ""}`);
    if (err instanceof Error && isBug(err)) kernel.fail(err);
  };
  const log = { debug: line("debug"), info: line("info"), warn: line("warn"), error: line("error"), child: () => log };
  return log as unknown as Logger;
}

/** Broken invariants and programming errors are never weather. */
function isBug(error: Error): boolean {
  return ["InvariantError", "TypeError", "ReferenceError", "RangeError"].includes(error.name);
}
