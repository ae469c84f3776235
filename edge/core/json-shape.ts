/** How deep a JSON text nests and how many values it holds, read without building it: a client may not make us build a tower. */
export const JSON_DEPTH_MAX = 32;
/** Of one body. The largest honest one, a create with all its metadata, holds fewer than 50. */
export const JSON_VALUES_MAX = 1_000;

/** Read no further than to the first bound that is passed: what lies beyond costs nothing. */
export function jsonShape(text: string): { readonly depth: number; readonly values: number } {
  let depth = 0;
  let deepest = 0;
  let values = 1;
  let inString = false;
  for (let i = 0; i < text.length && deepest <= JSON_DEPTH_MAX && values <= JSON_VALUES_MAX; i++) {
    const char = text.charCodeAt(i);
    if (inString) {
      if (char === BACKSLASH) i += 1;
      else if (char === QUOTE) inString = false;
    } else if (char === QUOTE) inString = true;
    else if (char === COMMA) values += 1;
    else if (char === OPEN_BRACE || char === OPEN_BRACKET) {
      values += 1;
      deepest = Math.max(deepest, ++depth);
    } else if (char === CLOSE_BRACE || char === CLOSE_BRACKET) depth -= 1;
  }
  return { depth: deepest, values };
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
