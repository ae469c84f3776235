/** One JSON line an event, with a constant message and ids as fields; never a key, a body or a secret (`protocol/log-line.ts`). */
import { loggableError, redact } from "#protocol/log-line.ts";

export function logFault(message: string, fault: unknown, fields: Readonly<Record<string, string>>): void {
  const safe = Object.fromEntries(Object.entries(fields).map(([name, value]) => [name, redact(value)]));
  console.warn(JSON.stringify({ level: "warn", message, ...safe, cause: causes(fault) }));
}

/** A state of ours that an operator wants to know of; the edge has no metrics to scrape. */
export function logChange(message: string, fields: Readonly<Record<string, string>>): void {
  console.warn(JSON.stringify({ level: "warn", message, ...fields }));
}

function causes(fault: unknown): string {
  const { causes: deeper = [], ...first } = loggableError(fault);
  return [first, ...deeper].map(({ type, message }) => `${type}: ${message}`).join(" < ");
}
