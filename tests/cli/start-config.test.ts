/** What `npm start` understands, and the files it keeps. */
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { readConfig, ROOT } from "#cli/config.ts";
import { DevFile, removeDevFile, writeDevFile } from "#cli/dev-file.ts";
import { hashSources } from "#cli/edge-bundle.ts";
import { claimPort } from "#cli/free-port.ts";
import { holdHome, keepSecrets } from "#cli/home.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "callsheet-config-"));
  folders.push(made);
  return made;
}

describe("the command line and environment", () => {
  test("a fresh clone needs neither: default ports, two runners, a home in the clone", () => {
    expect(readConfig([], {}, "/somewhere")).toMatchObject({
      home: join(ROOT, ".callsheet"),
      objectsDir: join(ROOT, ".callsheet", "edge", "objects"),
      edgePort: 8787,
      adminPort: 8788,
      runners: 2,
      replicas: 1,
      databaseUrl: null,
      request: null,
    });
  });

  test("the edge's files are in the home, or in a folder of their own", () => {
    expect(readConfig([], { CALLSHEET_HOME: "h" }, "/work").objectsDir).toBe("/work/h/edge/objects");
    expect(readConfig([], { CALLSHEET_EDGE_OBJECTS_DIR: "/dev/shm/edge" }, "/work").objectsDir).toBe("/dev/shm/edge");
  });

  test("a prompt may come with size, seconds, seed, model and a file", () => {
    const argv = ["a red fox", "--size", "320x192", "--seconds=1", "--seed", "7", "-o", "fox.mp4"];
    expect(readConfig(argv, {}, "/work").request).toEqual({
      prompt: "a red fox",
      fields: { size: "320x192", seconds: "1", seed: "7" },
      outputDir: "/work",
      outputFile: "/work/fox.mp4",
    });
  });

  test("under npm the file goes where the user stood", () => {
    const env = { INIT_CWD: "/home/user", npm_lifecycle_event: "start" };
    expect(readConfig(["fox"], env, ROOT).request?.outputDir).toBe("/home/user");
    expect(readConfig(["fox"], { ...env, npm_lifecycle_event: "test" }, "/work").request?.outputDir).toBe("/work");
  });

  test("runners may declare devices, memory and slots, the first ones first", () => {
    const env = { CALLSHEET_RUNNERS: "3", CALLSHEET_RUNNER_DEVICES: "2x80gb/2, 1x24gb" };
    expect(readConfig([], env, "/").runnerDevices).toEqual([
      { devices: 2, vramGb: 80, slots: 2 },
      { devices: 1, vramGb: 24, slots: 1 },
    ]);
    expect(() => readConfig([], { CALLSHEET_RUNNER_DEVICES: "2x80" }, "/")).toThrow('"2x80" does not say');
    expect(() => readConfig([], { ...env, CALLSHEET_RUNNERS: "1" }, "/")).toThrow(
      "more runners than CALLSHEET_RUNNERS",
    );
  });

  test("everything wrong is reported at once, by variable", () => {
    const env = { CALLSHEET_EDGE_PORT: "70000", CALLSHEET_RUNNERS: "many", CALLSHEET_DATABASE_URL: "mysql://x" };
    expect(() => readConfig([], env, "/")).toThrow(
      /CALLSHEET_EDGE_PORT: .*\n.*CALLSHEET_RUNNERS: .*\n.*CALLSHEET_DATABASE_URL: /,
    );
  });
});

describe("the home folder", () => {
  test("keeps its secrets between starts, readable by the owner only", () => {
    const home = folder();
    const first = keepSecrets(home);
    expect(keepSecrets(home)).toEqual(first);
    expect(new Set(Object.values(first)).size).toBe(4);
    expect(statSync(join(home, "secrets.json")).mode & 0o777).toBe(0o600);
  });

  test("is taken over from a holder that is gone", () => {
    const home = folder();
    writeFileSync(join(home, "supervisor.pid"), "2147483646");
    const held = holdHome(home);
    expect(held.takenOver).toBe(true);
    held.release();
    expect(holdHome(home).takenOver).toBe(false);
  });

  test("holds a dev.json that says everything a script needs, and no half of it", () => {
    const home = folder();
    const account = { id: "acct_0123456789abcdef", api_key: "cs_dev_0123456789abcdef_x_y" };
    const content = DevFile.parse({
      edge_url: "http://127.0.0.1:8787",
      admin_url: "http://127.0.0.1:8788",
      admin_token: "token",
      database_url: "postgres://127.0.0.1/callsheet",
      accounts: { free: account, plus: account, pro: account },
      pids: { edge: 2, control_plane: [3], postgres: 4, runners: [5, 6] },
    });
    writeDevFile(home, content);
    expect(JSON.parse(readFileSync(join(home, "dev.json"), "utf8"))).toEqual(content);
    expect(() => writeDevFile(home, { ...content, pids: { ...content.pids, edge: 0 } })).toThrow("edge");
    removeDevFile(home);
    expect(() => statSync(join(home, "dev.json"))).toThrow("ENOENT");
  });
});

test("a port clash names the port and the variable to set", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  const port = typeof address === "object" ? (address?.port ?? 0) : 0;
  await expect(claimPort(port, "CALLSHEET_EDGE_PORT", 0)).rejects.toThrow(
    `Port ${port} is in use. Set CALLSHEET_EDGE_PORT`,
  );
  const claimed = claimPort(port, "CALLSHEET_EDGE_PORT", 10_000);
  server.close();
  expect(await claimed).toBe(port);
});

test("the edge is bundled again when a source changes, appears, moves or goes, and only then", async () => {
  const root = folder();
  const write = (name: string, text: string) => writeFileSync(join(root, name), text);
  write("a.ts", "one");
  write("b.toml", "two");
  const before = await hashSources(root, ["."]);
  expect(await hashSources(root, ["."])).toBe(before);
  write("a.ts", "One");
  const changed = await hashSources(root, ["."]);
  write("c.ts", "");
  const added = await hashSources(root, ["."]);
  rmSync(join(root, "c.ts"));
  write("d.ts", "");
  const moved = await hashSources(root, ["."]);
  expect(new Set([before, changed, added, moved]).size).toBe(4);
});

test("workerd runs the edge with the compatibility date and flags that wrangler.toml deploys", () => {
  const wrangler = readFileSync(join(ROOT, "wrangler.toml"), "utf8");
  const capnp = readFileSync(join(ROOT, "deploy/workerd.capnp"), "utf8");
  const flags = (text: string, key: RegExp) => [...(key.exec(text)?.[1] ?? "").matchAll(/"([^"]+)"/g)].map((m) => m[1]);
  expect(/compatibilityDate = "([^"]+)"/.exec(capnp)?.[1]).toBe(/^compatibility_date = "([^"]+)"/m.exec(wrangler)?.[1]);
  expect(flags(capnp, /compatibilityFlags = \[([^\]]*)\]/)).toEqual(
    flags(wrangler, /^compatibility_flags = \[([^\]]*)\]/m),
  );
});
