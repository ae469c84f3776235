/** The Python with which the diffusers engine is tested. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const VENV =
  process.env["CALLSHEET_DIFFUSERS_VENV"] ??
  fileURLToPath(new URL("../../../.callsheet/diffusers-venv", import.meta.url));

export const PYTHON = join(VENV, "bin/python");
