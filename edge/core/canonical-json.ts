/** JSON text that is equal for equal values, in whatever order their fields were written. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => (isPlain(part) ? inOrder(part) : part));
}

function isPlain(part: unknown): part is object {
  return typeof part === "object" && part !== null && !Array.isArray(part);
}

/** A prototype of null, because a field may be called `__proto__`. */
function inOrder(part: object): object {
  const ordered: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [name, inner] of Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1))) ordered[name] = inner;
  return ordered;
}
