/**
 * Who this runner is: a secret that it mints itself and keeps in its folder, readable by its owner only. A join token, if it
 * was given one, is traded for the acceptance of the secret's hash; the secret is written first, so a join that breaks off
 * anywhere is simply made again.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { Logger } from "pino";
import { z } from "zod";
import { RunnerId, Sha256Hex } from "#protocol/id.ts";
import {
  type JoinRunner,
  RUNNER_JOIN_PATH,
  RUNNER_SECRET_BYTES,
  RunnerJoined,
  RunnerSecret,
} from "#protocol/runner-identity.ts";
import { writeAll, writeWhole } from "./whole-file.ts";

const FILE = "identity.json";
const OWNER_ONLY = 0o600;
const JOIN_TRY_MS = 5_000;
const JOIN_PAUSE_MS = 500;
const ANSWER_CHARS_MAX = 2_000;

const Identity = z.object({ runner: RunnerId, secret: RunnerSecret });
type Identity = z.infer<typeof Identity>;

export interface IdentityHost {
  readonly dir: string;
  readonly runner: RunnerId;
  readonly joinToken: string | null;
  readonly controlPlaneUrls: readonly string[];
  readonly log: Logger;
}

/** The secret to dial with. Throws if there is none and no way to get one. */
export async function keepIdentity(host: IdentityHost): Promise<string> {
  const { dir, runner, joinToken, log } = host;
  const path = join(dir, FILE);
  const kept = await readIdentity(path);
  const own = kept?.runner === runner ? kept : null;
  if (own === null && joinToken === null) {
    const there = kept === null ? "there is no identity" : `the identity is that of '${kept.runner}'`;
    throw new Error(
      `'${runner}' cannot dial: ${there} in ${path}. Set CALLSHEET_RUNNER_JOIN_TOKEN to a new join token.`,
    );
  }
  const identity = own ?? (await mint(path, runner));
  if (joinToken === null) return identity.secret;
  const refused = await joinUntilAnswered(host, { token: joinToken, runner, secret_sha256: sha256(identity.secret) });
  if (refused === null) return identity.secret;
  // A token is used once: a runner that starts again with the same settings has joined already.
  if (own === null) {
    await rm(path, { force: true });
    throw new Error(`'${runner}' may not join: ${refused}`);
  }
  log.info({ reason: refused }, "the join token was refused; the runner goes on with the secret it has");
  return identity.secret;
}

async function readIdentity(path: string): Promise<Identity | null> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
    throw error;
  }
  const read = Identity.safeParse(parse(text));
  // Its content is a secret: no parser's complaint is passed on.
  if (!read.success) throw new Error(`${path} is not an identity of a runner; move it away and join anew.`);
  return read.data;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null; // No identity either.
  }
}

async function mint(path: string, runner: RunnerId): Promise<Identity> {
  const identity = { runner, secret: `csr_${randomBytes(RUNNER_SECRET_BYTES).toString("hex")}` };
  await mkdir(join(path, ".."), { recursive: true });
  await writeWhole(path, (file) => writeAll(file, Buffer.from(`${JSON.stringify(identity)}\n`)), OWNER_ONLY);
  return identity;
}

/** Goes round the addresses until one answers; what it says against joining, or null. */
async function joinUntilAnswered({ controlPlaneUrls, log }: IdentityHost, call: JoinRunner): Promise<string | null> {
  for (let tries = 0; ; tries++) {
    const url = `${controlPlaneUrls[tries % controlPlaneUrls.length]}${RUNNER_JOIN_PATH}`;
    try {
      return await joinOnce(url, call);
    } catch (error) {
      log.info({ url, err: error }, "the control plane does not answer a join");
    }
    await pause(JOIN_PAUSE_MS * (0.5 + Math.random()));
  }
}

async function joinOnce(url: string, call: JoinRunner): Promise<string | null> {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(call),
    redirect: "error",
    signal: AbortSignal.timeout(JOIN_TRY_MS),
  });
  const text = (await response.text()).slice(0, ANSWER_CHARS_MAX);
  if (response.ok) {
    RunnerJoined.parse(JSON.parse(text));
    return null;
  }
  if (response.status >= 500) throw new Error(`the join was answered ${response.status}`);
  return `the control plane answered ${response.status}: ${messageIn(text)}`;
}

function messageIn(text: string): string {
  const said = z.object({ error: z.object({ message: z.string() }) }).safeParse(parse(text));
  return said.success ? said.data.error.message : "no reason given";
}

function sha256(text: string): Sha256Hex {
  return Sha256Hex.parse(createHash("sha256").update(text).digest("hex"));
}
