/**
 * Makes the product's own files load inside the simulation: statements, sockets, files and timers are those of this folder,
 * everything else is the file as it stands. The same hook plants a mutant: one text of one file, which must be there
 * exactly once, is replaced by another.
 */
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";
import { MODELLED } from "../statements/same-shape.ts";

export interface Mutant {
  readonly name: string;
  /** Found it last: tried first, before all others. */
  readonly seed: number;
  /** What it stands for, in words. */
  readonly says: string;
  readonly file: string;
  readonly find: string;
  readonly replace: string;
}

const ROOT = new URL("../../../", import.meta.url).href;
const HERE = "tests/faults/";
/** Files of the product that reach for the system by a name, and what they get instead. */
const STAND_INS: readonly { readonly from: string; readonly name: string; readonly to: string }[] = [
  { from: "gpu-runner/socket.ts", name: "ws", to: "system/ws.ts" },
  { from: "control-plane/socket/runner-upgrade.ts", name: "ws", to: "system/ws.ts" },
  { from: "gpu-runner/device.ts", name: "node:fs/promises", to: "system/files.ts" },
  { from: "gpu-runner/runner.ts", name: "node:fs/promises", to: "system/files.ts" },
  { from: "gpu-runner/device.ts", name: "./transfer.ts", to: "system/transfer.ts" },
];
const SYSTEM_NAMES = ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "performance"] as const;

/** Answers whether the mutant was planted; a rotten one throws when its file is loaded. */
export function hookProduct(mutant: Mutant | null): () => boolean {
  let planted = mutant === null;
  registerHooks({
    resolve(specifier, context, next) {
      const from = pathOf(context.parentURL ?? "");
      const standIn = STAND_INS.find((one) => one.from === from && one.name === specifier);
      if (standIn !== undefined)
        return { url: `${ROOT}${HERE}${standIn.to}`, format: "module-typescript", shortCircuit: true };
      const resolved = next(specifier, context);
      const name = /^control-plane\/db\/([a-z-]+)\.ts$/.exec(pathOf(resolved.url))?.[1] ?? "";
      return name in MODELLED ? { ...resolved, url: `${ROOT}${HERE}statements/${name}.ts` } : resolved;
    },
    load(url, context, next) {
      const loaded = next(url, context);
      const path = pathOf(url);
      if (loaded.source === undefined || loaded.source === null || !path.endsWith(".ts")) return loaded;
      let source = typeof loaded.source === "string" ? loaded.source : new TextDecoder().decode(loaded.source);
      if (mutant?.file === path) {
        source = plant(source, mutant);
        planted = true;
      }
      return { ...loaded, source: withSimulatedSystem(path, source) };
    },
  });
  return () => planted;
}

export function plant(source: string, { name, file, find, replace }: Mutant): string {
  const times = source.split(find).length - 1;
  if (times !== 1) throw new Error(`mutant '${name}': its text is ${times} times in ${file}, not once`);
  return source.replace(find, () => replace);
}

/** Shadows the system's timers and time in files of the product that use them. */
function withSimulatedSystem(path: string, source: string): string {
  if (!/^(control-plane|gpu-runner)\//.test(path)) return source;
  const names: string[] = SYSTEM_NAMES.filter((name) => new RegExp(`\\b${name}\\b`).test(source));
  if (/\bMath\.random\b/.test(source)) names.push("Math");
  return names.length === 0
    ? source
    : `import { ${names.join(", ")} } from "#tests/faults/system/globals.ts";${source}`;
}

function pathOf(url: string): string {
  return url.startsWith(ROOT) ? fileURLToPath(url).slice(fileURLToPath(ROOT).length) : "";
}
