import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { openApiDocument } from "#protocol/openapi.ts";

test("docs/openapi.json is the API as the code has it; if not, run npm run openapi", () => {
  const file = new URL("../../docs/openapi.json", import.meta.url);
  expect(JSON.parse(readFileSync(file, "utf8"))).toEqual(JSON.parse(JSON.stringify(openApiDocument())));
});
