import { createHash } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { keepIdentity } from "#gpu-runner/identity.ts";
import { RunnerId } from "#protocol/id.ts";
import { JoinRunner } from "#protocol/runner-identity.ts";
import { QUIET } from "#tests/support/quiet-host.ts";
import { haveJoined, SECRET } from "./joined.ts";

const TOKEN = `csj_${"1".repeat(64)}`;
const RUNNER = RunnerId.parse("runner-1");

let dir: string;
let joins: JoinRunner[];
let answers: number[];
const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on("data", (chunk: Buffer) => chunks.push(chunk));
  request.on("end", () => {
    joins.push(JoinRunner.parse(JSON.parse(Buffer.concat(chunks).toString())));
    const status = answers.shift() ?? 200;
    if (status === 0) return response.destroy();
    const body = status === 200 ? { runner: RUNNER } : { error: { message: "The join token is used." } };
    return response.writeHead(status).end(JSON.stringify(body));
  });
});

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "callsheet-identity-"));
  joins = [];
  answers = [];
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterEach(async () => {
  await new Promise((resolve) => server.close(resolve));
  await rm(dir, { recursive: true, force: true });
});

const keep = (joinToken: string | null, runner = RUNNER) =>
  keepIdentity({
    dir,
    runner,
    joinToken,
    controlPlaneUrls: [`http://127.0.0.1:${(server.address() as AddressInfo).port}`],
    log: QUIET.log,
  });
const identityFile = () => join(dir, "identity.json");

test("a runner mints its secret, joins with its hash, and keeps it for its owner's eyes only", async () => {
  const secret = await keep(TOKEN);
  expect(secret).toMatch(/^csr_[0-9a-f]{64}$/);
  const hash = createHash("sha256").update(secret).digest("hex");
  expect(joins).toEqual([{ token: TOKEN, runner: RUNNER, secret_sha256: hash }]);
  expect((await stat(identityFile())).mode & 0o777).toBe(0o600);
  expect(await keep(null)).toBe(secret);
});

test("a join whose answer is lost, or that meets a control plane in trouble, is made again with the same secret", async () => {
  answers = [0, 503, 200];
  await keep(TOKEN);
  expect(joins).toHaveLength(3);
  expect(new Set(joins.map((call) => call.secret_sha256)).size).toBe(1);
});

test("a runner that has joined goes on with its secret when it starts again with a token that is used", async () => {
  haveJoined(dir);
  answers = [401];
  expect(await keep(TOKEN)).toBe(SECRET);
});

test("a runner that may not join says so, and leaves no secret behind", async () => {
  answers = [401];
  await expect(keep(TOKEN)).rejects.toThrow("may not join: the control plane answered 401: The join token is used.");
  await expect(stat(identityFile())).rejects.toThrow("ENOENT");
});

test("without a secret or a token a runner says what it needs, also in a folder of another runner", async () => {
  await expect(keep(null)).rejects.toThrow(/there is no identity .*CALLSHEET_RUNNER_JOIN_TOKEN/);
  haveJoined(dir, "runner-2");
  await expect(keep(null)).rejects.toThrow("the identity is that of 'runner-2'");
  // With a token it becomes itself.
  expect(await keep(TOKEN)).not.toBe(SECRET);
  expect(JSON.parse(await readFile(identityFile(), "utf8"))).toMatchObject({ runner: RUNNER });
});

test("a broken identity is reported without what is in it", async () => {
  await writeFile(identityFile(), `{"runner": "runner-1", "secret": "${SECRET.slice(0, 40)}`);
  await chmod(identityFile(), 0o600);
  const failure = await keep(null).then(
    () => "",
    (error: unknown) => String(error),
  );
  expect(failure).toContain("is not an identity of a runner");
  expect(failure).not.toContain(SECRET.slice(4, 20));
});
