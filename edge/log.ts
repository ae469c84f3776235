/** One JSON line an event, with a constant message and ids as fields; never a key, a body or a secret. */

export function logFault(message: string, fault: unknown, fields: Readonly<Record<string, string>>): void {
  console.warn(JSON.stringify({ level: "warn", message, ...fields, cause: causes(fault) }));
}

/** A state of ours that an operator wants to know of; the edge has no metrics to scrape. */
export function logChange(message: string, fields: Readonly<Record<string, string>>): void {
  console.warn(JSON.stringify({ level: "warn", message, ...fields }));
}

const CAUSES_MAX = 5;

function causes(fault: unknown): string {
  const texts: string[] = [];
  for (let next = fault; next instanceof Error && texts.length < CAUSES_MAX; next = next.cause) {
    texts.push(`${next.name}: ${next.message}`);
  }
  return texts.length === 0 ? String(fault) : texts.join(" < ");
}
