/** A JSON Schema (as `z.toJSONSchema` writes it) → values that it allows, and values that it nearly allows. */
import * as fc from "fast-check";
import { z } from "zod";
import { hostileNumber, hostileText } from "./hostile-text.ts";

/** What `z.toJSONSchema` writes of ours; anything else is any JSON. */
const Schema = z.looseObject({
  type: z.union([z.string(), z.array(z.string())]).optional(),
  const: z.unknown().optional(),
  enum: z.array(z.unknown()).optional(),
  anyOf: z.array(z.unknown()).optional(),
  oneOf: z.array(z.unknown()).optional(),
  pattern: z.string().optional(),
  minLength: z.int().optional(),
  maxLength: z.int().optional(),
  minimum: z.number().optional(),
  maximum: z.number().optional(),
  items: z.unknown().optional(),
  minItems: z.int().optional(),
  maxItems: z.int().optional(),
  properties: z.record(z.string(), z.unknown()).optional(),
  required: z.array(z.string()).optional(),
  additionalProperties: z.unknown().optional(),
  format: z.string().optional(),
});

const TEXT_MAX = 40;
const LIST_MAX = 4;

export function allowedBy(schema: unknown): fc.Arbitrary<unknown> {
  const read = Schema.parse(schema);
  if ("const" in read) return fc.constant(read.const);
  if (read.enum !== undefined) return fc.constantFrom(...read.enum);
  const choices = read.anyOf ?? read.oneOf;
  if (choices !== undefined) return fc.oneof(...choices.map(allowedBy));
  // One of several types: a number or null.
  if (Array.isArray(read.type)) return fc.oneof(...read.type.map((type) => allowedBy({ ...read, type })));
  switch (read.type) {
    case "string":
      return textBy(read);
    case "integer":
      return fc.integer({ min: read.minimum ?? -1_000, max: Math.min(read.maximum ?? 1_000, 2 ** 31) });
    case "number":
      // Most of ours are whole numbers that may come as text, which the schema cannot say.
      return fc.oneof(
        { weight: 6, arbitrary: fc.integer({ min: 1, max: 8 }) },
        { weight: 1, arbitrary: fc.double({ min: read.minimum ?? 0, max: read.maximum ?? 1_000, noNaN: true }) },
      );
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "array": {
      const lengths = { minLength: read.minItems ?? 0, maxLength: Math.min(read.maxItems ?? LIST_MAX, LIST_MAX) };
      return fc.array(allowedBy(read.items ?? {}), lengths);
    }
    case "object":
      return objectBy(read);
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

function textBy({ pattern, format, minLength = 0, maxLength = TEXT_MAX }: z.infer<typeof Schema>) {
  if (format === "uri") return fc.webUrl();
  if (format === "base64") return fc.base64String();
  if (pattern !== undefined) {
    return fc.stringMatching(new RegExp(pattern)).filter((text) => text.length >= minLength);
  }
  return fc.string({ unit: "grapheme", minLength, maxLength: Math.min(maxLength, TEXT_MAX) });
}

function objectBy({ properties = {}, required = [], additionalProperties }: z.infer<typeof Schema>) {
  const named = fc.record(
    Object.fromEntries(Object.entries(properties).map(([name, property]) => [name, allowedBy(property)])),
    { requiredKeys: required.filter((name) => name in properties) },
  );
  if (typeof additionalProperties !== "object" || additionalProperties === null) return named;
  return fc.dictionary(fc.string({ minLength: 1, maxLength: 16 }), allowedBy(additionalProperties), {
    maxKeys: LIST_MAX,
  });
}

const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  hostileText,
  hostileNumber,
  fc.constantFrom(null, true, [], {}, [[]], { a: { b: {} } }),
  fc.array(hostileNumber, { maxLength: 3 }),
  fc.dictionary(hostileText, hostileText, { maxKeys: 20 }),
);

/** One step away from what is allowed: a field too few or too many, or one that holds something else. */
export function nearly(schema: unknown): fc.Arbitrary<unknown> {
  const step = fc.tuple(fc.constantFrom("drop", "swap", "add", "wrap"), fc.nat(), hostileText, hostileValue);
  return fc.tuple(allowedBy(schema), step).map(([value, [how, nth, name, hostile]]) => {
    if (how === "wrap") return [value];
    if (typeof value !== "object" || value === null || Array.isArray(value)) return hostile;
    const entries = Object.entries(value);
    const at = entries.length === 0 ? 0 : nth % entries.length;
    if (how === "add") return Object.fromEntries([...entries, [name, hostile]]);
    if (how === "drop") return Object.fromEntries(entries.filter((_, index) => index !== at));
    return Object.fromEntries(entries.map(([key, old], index) => [key, index === at ? hostile : old]));
  });
}
