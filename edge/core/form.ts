/** Multipart fields in bracket notation → the object a JSON client would have sent: `metadata[a]=b` → `{metadata:{a:"b"}}`. */
import type { Refusal } from "#protocol/error.ts";

export const FORM_FIELDS_MAX = 64;
const NAME = /^([^[\]]+)(?:\[([^[\]]+)\])?$/;

type Field<File> = string | File;
type Tree<File> = Readonly<Record<string, Field<File> | Readonly<Record<string, Field<File>>>>>;

export type FormRead<File> =
  | { readonly ok: true; readonly value: Tree<File> }
  | { readonly ok: false; readonly refusal: Refusal };

/** Refuses what has no single meaning: lists, deeper nesting, a field given twice. */
export function objectOfForm<File>(entries: Iterable<readonly [string, Field<File>]>): FormRead<File> {
  // Maps, because a field may be called `__proto__`.
  const top = new Map<string, Field<File> | Map<string, Field<File>>>();
  let count = 0;
  for (const [name, value] of entries) {
    count += 1;
    if (count > FORM_FIELDS_MAX) return refuse("invalid_body", `A form may have at most ${FORM_FIELDS_MAX} fields.`);
    const match = NAME.exec(name);
    const head = match?.[1];
    if (head === undefined) return refuse("invalid_value", "is not a field name we know.", name);
    const key = match?.[2];
    if (key === undefined) {
      if (top.has(head)) return refuse("invalid_value", "was given more than once.", name);
      top.set(head, value);
      continue;
    }
    const inner = top.get(head) ?? new Map<string, Field<File>>();
    if (!(inner instanceof Map) || inner.has(key)) return refuse("invalid_value", "was given more than once.", name);
    top.set(head, inner.set(key, value));
  }
  const pairs = Array.from(top, ([name, value]) => [name, value instanceof Map ? Object.fromEntries(value) : value]);
  return { ok: true, value: Object.fromEntries(pairs) as Tree<File> };
}

/** `metadata.a` → `metadata[a]`: a form client reads the name it wrote. */
export function inBrackets(refusal: Refusal): Refusal {
  const dot = refusal.param?.indexOf(".") ?? -1;
  if (refusal.param === undefined || dot < 1) return refusal;
  const param = `${refusal.param.slice(0, dot)}[${refusal.param.slice(dot + 1)}]`;
  return { ...refusal, param, message: refusal.message.replace(`'${refusal.param}'`, () => `'${param}'`) };
}

function refuse(code: "invalid_body" | "invalid_value", what: string, param?: string): FormRead<never> {
  if (param === undefined) return { ok: false, refusal: { code, message: what } };
  const shown = param.slice(0, 100);
  return { ok: false, refusal: { code, message: `Invalid '${shown}': ${what}`, param: shown } };
}
