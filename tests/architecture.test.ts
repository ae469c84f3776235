/**
 * Who may import whom, how long files are, how they are named, and that the documents point at what exists.
 *
 * `IMPORTS` is the table that docs/ARCHITECTURE.md prints. The first row whose folder holds a file applies to it.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";

interface Row {
  readonly folder: string;
  /** Folders, packages, or `node:`; a folder may always import itself. */
  readonly may: readonly string[];
  /** Only their types. */
  readonly types?: readonly string[];
}

const PACKAGES = [
  "hono",
  "@hono/node-server",
  "ws",
  "pino",
  "zod",
  "standardwebhooks",
  "ipaddr.js",
  "prom-client",
  "node:",
] as const;
const IMPORTS: readonly Row[] = [
  { folder: "protocol", may: ["zod"] },
  { folder: "control-plane/core", may: ["protocol"] },
  { folder: "control-plane/db", may: ["control-plane/core", "protocol", "drizzle-orm", "postgres", "node:"] },
  { folder: "control-plane/store", may: ["protocol", "@aws-sdk/client-s3", "@aws-sdk/lib-storage", "aws4", "node:"] },
  { folder: "control-plane/egress", may: ["control-plane/core", "protocol", ...PACKAGES] },
  {
    folder: "control-plane/usecase",
    may: ["control-plane/core", "control-plane/db", "protocol", "node:"],
    types: ["zod", "control-plane/store", "control-plane/egress", "pino"],
  },
  {
    folder: "control-plane/http",
    may: ["control-plane/usecase", "control-plane/core", "control-plane/store", "protocol", ...PACKAGES],
    types: ["control-plane/db"],
  },
  ...["control-plane/socket", "control-plane/loop"].map((folder) => ({
    folder,
    may: ["control-plane/usecase", "control-plane/core", "control-plane/store", "protocol", ...PACKAGES],
    types: ["control-plane/db", "control-plane/egress"],
  })),
  { folder: "control-plane", may: ["protocol", "postgres", ...PACKAGES] },
  { folder: "edge/core", may: ["protocol"] },
  { folder: "edge", may: ["protocol", "hono", "zod", "cloudflare:workers"] },
  { folder: "gpu-runner/core", may: ["protocol"] },
  { folder: "gpu-runner", may: ["protocol", "ws", "zod", "pino", "@napi-rs/webcodecs", "node:"] },
  { folder: "cli", may: ["protocol", "postgres", "ws", "zod", "node:"] },
  { folder: "sim", may: ["control-plane/core", "gpu-runner/core", "protocol", "zod", "node:"] },
];

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PROGRAMS = ["control-plane", "edge", "gpu-runner", "cli"] as const;
const SOURCE_FOLDERS = ["protocol", ...PROGRAMS, "sim", "bench", "tests"] as const;
const LINES_MAX = 400;
const BANNED_NAME = /(^|-)(utils?|helpers?|common|manager|misc|index)(\.|-)/;
const FILE_NAME = /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|bench|config|d))?\.(ts|tsx)$/;

interface Import {
  readonly target: string;
  readonly typesOnly: boolean;
}

const files = SOURCE_FOLDERS.flatMap((folder) => sourceFiles(folder));

describe("the code map", () => {
  test("every folder imports only what the table allows it", () => {
    expect(files.flatMap((file) => importsOf(file).flatMap((found) => forbidden(file, found)))).toEqual([]);
  });

  test("programs meet only in protocol/, and nothing imports a program's entry", () => {
    const crossings = files.flatMap((file) =>
      importsOf(file).flatMap(({ target }) => {
        const [from = "", to = ""] = [file.split("/")[0], target.split("/")[0]];
        const isProgram = (folder: string) => PROGRAMS.some((program) => program === folder);
        const crosses = isProgram(from) && isProgram(to) && from !== to;
        const entersMain = /^(control-plane|gpu-runner)\/main\.ts$|^cli\/(start|guard-process)\.ts$/.test(target);
        const entersWorker = target === "edge/worker.ts" && !file.startsWith("tests/edge/");
        return crosses || entersMain || entersWorker ? [`${file} imports ${target}`] : [];
      }),
    );
    expect(crossings).toEqual([]);
  });

  test("drizzle is loaded in one place, which knows how to load it fast", () => {
    const loaders = files.filter((file) => importsOf(file).some(({ target }) => target.startsWith("drizzle-orm")));
    expect(loaders.filter((file) => file !== "control-plane/db/drizzle.ts")).toEqual([]);
  });

  test("every source file fits on a few screens and has a plain name", () => {
    const faults = files.flatMap((file) => {
      const lines = readFileSync(join(ROOT, file), "utf8").split("\n").length - 1;
      const name = basename(file);
      return [
        ...(lines > LINES_MAX ? [`${file} has ${lines} lines, more than ${LINES_MAX}`] : []),
        ...(BANNED_NAME.test(name) ? [`${file}: say what it is, not that it is useful`] : []),
        ...(FILE_NAME.test(name) ? [] : [`${file} is not kebab-case`]),
      ];
    });
    expect(faults).toEqual([]);
  });

  test("every path that a document names exists", () => {
    // What runs here keeps its files in `.callsheet`: there today, gone tomorrow.
    const folders = new Set(
      readdirSync(ROOT, { withFileTypes: true }).flatMap((e) =>
        e.isDirectory() && e.name !== ".callsheet" ? [e.name] : [],
      ),
    );
    const missing = documents().flatMap((document) =>
      pathsNamedIn(readFileSync(join(ROOT, document), "utf8"), dirname(document), folders)
        .filter((path) => !existsSync(join(ROOT, path)))
        .map((path) => `${document} names ${path}, which does not exist`),
    );
    expect(missing).toEqual([]);
  });
});

describe("the rules themselves", () => {
  test("a core that reaches for the database is caught with its file and import", () => {
    const found = importsIn('import { a,\n  type B } from "#control-plane/db/jobs.ts";', "control-plane/core/job.ts");
    expect(found.flatMap((one) => forbidden("control-plane/core/job.ts", one))).toEqual([
      "control-plane/core/job.ts imports control-plane/db/jobs.ts, which control-plane/core may not",
    ]);
  });

  test("where only types may be imported, values are caught and types are not", () => {
    const file = "control-plane/http/videos.ts";
    const types = importsIn(
      'import type { Db } from "../db/connect.ts"; import { type A } from "#control-plane/db/a.ts";',
      file,
    );
    const values = importsIn('export { jobs } from "../db/jobs.ts"; await import("../db/lazy.ts");', file);
    expect(types.flatMap((one) => forbidden(file, one))).toEqual([]);
    expect(values.flatMap((one) => forbidden(file, one))).toEqual([
      `${file} imports control-plane/db/jobs.ts, of which control-plane/http may take only types`,
      `${file} imports control-plane/db/lazy.ts, of which control-plane/http may take only types`,
    ]);
  });

  test("a document's dead path and dead link are caught, its web addresses are not", () => {
    const text =
      "See `edge/gone.ts`, [a](gone.md), [b](https://example.com/x.md), `/v1/videos`, `edge/*.ts`, `video/mp4`.";
    expect(pathsNamedIn(text, "docs", new Set(["edge"]))).toEqual(["edge/gone.ts", "docs/gone.md"]);
  });
});

function forbidden(file: string, { target, typesOnly }: Import): readonly string[] {
  const row = IMPORTS.find(({ folder }) => file.startsWith(`${folder}/`));
  if (row === undefined) return [];
  const isIn = (allowed: string) =>
    target === allowed || target.startsWith(allowed.endsWith(":") ? allowed : `${allowed}/`);
  if ([row.folder, ...row.may].some(isIn)) return [];
  const typesAllowed = (row.types ?? []).some(isIn);
  if (typesAllowed && typesOnly) return [];
  return [
    typesAllowed
      ? `${file} imports ${target}, of which ${row.folder} may take only types`
      : `${file} imports ${target}, which ${row.folder} may not`,
  ];
}

function importsOf(file: string): readonly Import[] {
  return importsIn(readFileSync(join(ROOT, file), "utf8"), file);
}

/** Static, re-exporting, side-effect and dynamic imports; comments do not count. */
function importsIn(source: string, file: string): readonly Import[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, "");
  const statement =
    /\b(?:import|export)\b(?<clause>[^"'`;()]*?)\bfrom\s*["'](?<from>[^"']+)["']|(?<!\btypeof )\bimport\s*\(?\s*["'](?<bare>[^"']+)["']/g;
  return [...code.matchAll(statement)].map((match) => ({
    target: resolved(match.groups?.["from"] ?? match.groups?.["bare"] ?? "", file),
    typesOnly: isTypesOnly(match.groups?.["clause"] ?? ""),
  }));
}

function isTypesOnly(clause: string): boolean {
  if (/^\s*type\b/.test(clause)) return true;
  const named = /\{([^}]*)\}/.exec(clause)?.[1];
  const names = (named ?? "").split(",").filter((name) => name.trim() !== "");
  return names.length > 0 && names.every((name) => /^\s*type\b/.test(name)) && /^\s*\{/.test(clause);
}

function resolved(specifier: string, file: string): string {
  if (specifier.startsWith("#")) return specifier.slice(1);
  return specifier.startsWith(".") ? posix.join(posix.dirname(file), specifier) : specifier;
}

function sourceFiles(folder: string): readonly string[] {
  if (!existsSync(join(ROOT, folder))) return [];
  return readdirSync(join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.tsx?$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(ROOT.length))
    .filter((file) => !file.includes("node_modules/"))
    .sort();
}

function documents(): readonly string[] {
  const inDocs = existsSync(join(ROOT, "docs"))
    ? readdirSync(join(ROOT, "docs"), { recursive: true }).map((name) => `docs/${String(name)}`)
    : [];
  return ["README.md", "CONTRIBUTING.md", ...inDocs].filter(
    (name) => name.endsWith(".md") && existsSync(join(ROOT, name)),
  );
}

/** Backticked paths that start in one of our folders, and the targets of relative links. */
function pathsNamedIn(text: string, folder: string, folders: ReadonlySet<string>): readonly string[] {
  const quoted = [...text.matchAll(/`([\w.@-]+(?:\/[\w.@-]+)+\/?)`/g)]
    .map((match) => match[1] ?? "")
    .filter((path) => folders.has(path.split("/")[0] ?? "") && !path.startsWith("node_modules/"));
  const linked = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)]
    .map((match) => match[1] ?? "")
    .filter((link) => !/^[a-z]+:/.test(link))
    .map((link) => posix.join(folder, link));
  return [...quoted, ...linked];
}
