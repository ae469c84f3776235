/** `npm run openapi`: writes docs/openapi.json, the public API as the code has it. */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { openApiDocument } from "#protocol/openapi.ts";

const FILE = fileURLToPath(new URL("../docs/openapi.json", import.meta.url));

writeFileSync(FILE, `${JSON.stringify(openApiDocument(), null, 2)}\n`);
