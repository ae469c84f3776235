/** The boot matrix: what each program refuses to start with, all faults at once, no value ever shown. */
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import { readConfig as readControlPlane } from "#control-plane/config.ts";
import { readConfig as readRunner } from "#gpu-runner/config.ts";
import { secretFaults } from "#protocol/secret.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const random = () => randomBytes(32).toString("base64url");
const hookSecret = () => `whsec_${randomBytes(32).toString("base64")}`;

function settings(change: Readonly<Record<string, string | undefined>> = {}): NodeJS.ProcessEnv {
  return {
    CALLSHEET_ENV: "production",
    CALLSHEET_DATABASE_URL: "postgres://callsheet:x@127.0.0.1:5432/callsheet",
    CALLSHEET_PORT: "0",
    CALLSHEET_ADMIN_PORT: "0",
    CALLSHEET_ADMIN_TOKEN: random(),
    CALLSHEET_EDGE_SECRET: random(),
    CALLSHEET_EDGE_URL: "https://edge.example.com",
    CALLSHEET_PUBLIC_URL: "https://control-plane.example.com",
    CALLSHEET_STORE_DIR: "/var/lib/callsheet",
    CALLSHEET_STORE_SECRET: random(),
    ...change,
  };
}

function complaintOf(change: Readonly<Record<string, string | undefined>>): string {
  try {
    readControlPlane(settings(change));
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

const SHARED = random();
const SECRETS = ["CALLSHEET_ADMIN_TOKEN", "CALLSHEET_EDGE_SECRET", "CALLSHEET_STORE_SECRET"] as const;
const BAD = {
  missing: undefined,
  empty: "",
  short: "k7Qw3Zr9Tn2Lp5Vx8Yb1Mc",
  repeated: "ab".repeat(20),
  "a default": `changeme-${"k7Qw3Zr9Tn2Lp5Vx8Yb1".repeat(2)}`,
  "of the tests": `only-for-tests-${"0123456789abcdef".repeat(2)}`,
} as const;

describe.each(["staging", "production"])("the control plane in %s", (environment) => {
  test("starts with long, random secrets that differ", () => {
    expect(complaintOf({ CALLSHEET_ENV: environment })).toBe("");
  });

  test.each(SECRETS.flatMap((name) => Object.entries(BAD).map(([what, value]) => [name, what, value] as const)))(
    "does not start with a %s that is %s, and does not show it",
    (name, _what, value) => {
      const complaint = complaintOf({ CALLSHEET_ENV: environment, [name]: value });
      expect(complaint).toContain(`${name}: `);
      if (value !== undefined && value !== "") expect(complaint).not.toContain(value);
    },
  );

  test.each([
    ["CALLSHEET_ADMIN_TOKEN", "CALLSHEET_EDGE_SECRET"],
    ["CALLSHEET_EDGE_SECRET", "CALLSHEET_STORE_SECRET"],
  ])("does not start where %s and %s are the same", (one, other) => {
    const complaint = complaintOf({ CALLSHEET_ENV: environment, [one]: SHARED, [other]: SHARED });
    expect(complaint).toContain(`${one}, ${other}: the same secret is set more than once`);
    expect(complaint).not.toContain(SHARED);
  });

  test("tells all faults at once", () => {
    const complaint = complaintOf({
      CALLSHEET_ENV: environment,
      CALLSHEET_ADMIN_TOKEN: "short",
      CALLSHEET_EDGE_SECRET: "ab".repeat(20),
      CALLSHEET_STORE_SECRET: undefined,
      CALLSHEET_PORT: "70000",
      CALLSHEET_EDGE_URL: "nowhere",
      CALLSHEET_MODERATION_URL: "https://hook.example.com",
    });
    for (const name of [...SECRETS, "CALLSHEET_PORT", "CALLSHEET_EDGE_URL", "CALLSHEET_MODERATION_URL"]) {
      expect(complaint).toContain(name);
    }
  });
});

test("in development short, shared secrets will do, but not those that anybody guesses", () => {
  const shared = "sixteen-or-more-chars";
  const all = Object.fromEntries(SECRETS.map((name) => [name, shared]));
  expect(complaintOf({ CALLSHEET_ENV: "development", ...all })).toBe("");
  expect(complaintOf({ CALLSHEET_ENV: "development", ...all, CALLSHEET_EDGE_SECRET: "short" })).toContain(
    "CALLSHEET_EDGE_SECRET: must have at least 16 characters",
  );
});

test("a store is a folder or a bucket with what opens it, and only a bucket can be reached directly", () => {
  const bucket = {
    CALLSHEET_STORE_DIR: undefined,
    CALLSHEET_STORE_BUCKET: "films",
    CALLSHEET_STORE_ACCESS_KEY_ID: "id",
    CALLSHEET_STORE_SECRET_ACCESS_KEY: "secret",
  };
  expect(complaintOf({ ...bucket, CALLSHEET_STORE_DIRECT: "yes" })).toBe("");
  expect(complaintOf({ CALLSHEET_STORE_DIRECT: "yes" })).toContain("CALLSHEET_STORE_DIRECT: only");
  expect(complaintOf({ ...bucket, CALLSHEET_STORE_DIRECT: "perhaps" })).toContain("CALLSHEET_STORE_DIRECT: ");
  expect(complaintOf({ CALLSHEET_STORE_BUCKET: "films" })).toContain(
    "CALLSHEET_STORE_DIR, CALLSHEET_STORE_BUCKET: set one",
  );
  expect(complaintOf({ ...bucket, CALLSHEET_STORE_ACCESS_KEY_ID: undefined })).toContain(
    "both are needed for a bucket",
  );
});

test("admin tokens may have names, and the edge's secret a predecessor", () => {
  const [ann, ben, next, old] = [random(), random(), random(), random()];
  const config = readControlPlane(
    settings({ CALLSHEET_ADMIN_TOKEN: `ann:${ann}, ben:${ben}`, CALLSHEET_EDGE_SECRET: `${next},${old}` }),
  );
  expect(config.CALLSHEET_ADMIN_TOKEN).toEqual([
    { name: "ann", token: ann },
    { name: "ben", token: ben },
  ]);
  expect(config.CALLSHEET_EDGE_SECRET).toEqual([next, old]);
  expect(readControlPlane(settings({ CALLSHEET_ADMIN_TOKEN: ann })).CALLSHEET_ADMIN_TOKEN).toEqual([
    { name: "admin", token: ann },
  ]);
  expect(complaintOf({ CALLSHEET_ADMIN_TOKEN: `ann:${ann},ben:${ann}` })).toContain("CALLSHEET_ADMIN_TOKEN: the same");
  expect(complaintOf({ CALLSHEET_EDGE_SECRET: `${next},${next}` })).toContain("CALLSHEET_EDGE_SECRET: the same");
  expect(complaintOf({ CALLSHEET_EDGE_SECRET: `${next},${old},${random()}` })).toContain("CALLSHEET_EDGE_SECRET");
  expect(complaintOf({ CALLSHEET_ADMIN_TOKEN: "Ann Smith:abc" })).toContain("CALLSHEET_ADMIN_TOKEN");
});

test("a moderation hook needs its URL and a secret that it can verify", () => {
  const url = "https://hook.example.com/moderate";
  expect(complaintOf({ CALLSHEET_MODERATION_URL: url, CALLSHEET_MODERATION_SECRET: hookSecret() })).toBe("");
  expect(complaintOf({ CALLSHEET_MODERATION_SECRET: hookSecret() })).toContain("set both, or none");
  expect(complaintOf({ CALLSHEET_MODERATION_URL: url, CALLSHEET_MODERATION_SECRET: random() })).toContain(
    "CALLSHEET_MODERATION_SECRET: must be whsec_",
  );
});

test("random secrets are never taken for examples", () => {
  for (let n = 0; n < 2_000; n++)
    expect(secretFaults({ A: [random()], B: [randomBytes(32).toString("hex")] }, false)).toEqual([]);
});

test("a runner has fault knobs in development only, and needs a token that is one", () => {
  const needed = { CALLSHEET_CONTROL_PLANE_URLS: "https://control-plane.example.com" };
  expect(readRunner(needed)).toMatchObject({ faults: false, joinToken: null });
  expect(() => readRunner({ ...needed, CALLSHEET_ENGINE_FAULTS: "allow" })).toThrow("CALLSHEET_ENGINE_FAULTS");
  expect(readRunner({ ...needed, CALLSHEET_ENGINE_FAULTS: "allow", CALLSHEET_ENV: "development" }).faults).toBe(true);
  const wrong = { CALLSHEET_RUNNER_JOIN_TOKEN: "csr_not-a-join-token", CALLSHEET_DEVICES: "0" };
  expect(() => readRunner({ ...needed, ...wrong })).toThrow(
    /CALLSHEET_RUNNER_JOIN_TOKEN[^]*CALLSHEET_DEVICES|CALLSHEET_DEVICES[^]*CALLSHEET_RUNNER_JOIN_TOKEN/,
  );
  expect(() => readRunner({ ...needed, ...wrong })).not.toThrow("csr_not-a-join-token");
});

test("the programs themselves end with 1 and their faults on standard error, before they do anything", () => {
  const bad = settings({ CALLSHEET_ADMIN_TOKEN: BAD["a default"], CALLSHEET_STORE_SECRET: "short" });
  for (const [program, env, named] of [
    ["control-plane/main.ts", bad, ["CALLSHEET_ADMIN_TOKEN", "CALLSHEET_STORE_SECRET"]],
    [
      "gpu-runner/main.ts",
      { CALLSHEET_ENGINE_FAULTS: "allow" },
      ["CALLSHEET_ENGINE_FAULTS", "CALLSHEET_CONTROL_PLANE_URLS"],
    ],
  ] as const) {
    const { status, stderr, stdout } = spawnSync(process.execPath, [program], { cwd: ROOT, env, encoding: "utf8" });
    expect(status).toBe(1);
    for (const name of named) expect(stderr).toContain(name);
    expect(stdout + stderr).not.toContain(BAD["a default"]);
  }
});
