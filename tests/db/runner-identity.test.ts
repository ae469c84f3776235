/** Who may speak as a runner, and for which work: against the real control plane, over its real endpoints. */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { ControlPlane } from "#tests/support/control-plane.ts";
import { aSecret, HostileRunner, join } from "#tests/support/hostile-runner.ts";
import { until } from "#tests/support/product.ts";
import { Studio } from "#tests/support/studio.ts";

const REFUSED = { status: 401, body: { error: { code: "invalid_api_key" } } };
/** Seconds that burn nothing. */
const LONG = { prompt: "!idle=200 a lake", size: "320x192", seconds: 1, steps: 30 } as const;
const WAIT_MS = 20_000;

let studio: Studio;
let plane: ControlPlane;
let account: AccountId;

beforeAll(async () => {
  studio = await Studio.open();
  plane = await ControlPlane.start(studio.url);
  account = await studio.account("pro", { amount: "10000" });
});
afterAll(async () => {
  await plane.stop();
  await studio.close();
});

async function tokenOf(wanted: { readonly runner?: string; readonly expires_in?: number }): Promise<string> {
  return ((await plane.admin("POST", "/runner_tokens", wanted)) as { token: string }).token;
}

async function joined(runner: string): Promise<string> {
  const secret = aSecret();
  expect(await join(plane.url, await tokenOf({ runner }), runner, secret)).toEqual({ status: 200, body: { runner } });
  return secret;
}

/** The job with its lease, as soon as a runner works on it. */
async function running(job: VideoId) {
  return until("it runs", WAIT_MS, async () => {
    const [row] = await studio.sql<{ state: string; epoch: number; runnerId: string }[]>`
      select state, epoch, runner_id from job where id = ${job}`;
    return row?.state === "running" ? row : null;
  });
}

async function submitted(request: object = LONG): Promise<VideoId> {
  const outcome = await studio.submit(account, request);
  if (!outcome.ok) throw new Error(outcome.refusal.message);
  return outcome.job.id;
}

test("a join token is good for one runner, once, within its time, and for its own name", async () => {
  const token = await tokenOf({ runner: "host-a" });
  const secret = aSecret();
  expect(await join(plane.url, token, "host-b", secret)).toMatchObject(REFUSED);
  expect(await join(plane.url, token, "host-a", secret)).toMatchObject({ status: 200 });
  // Its answer may have been lost: the same call is answered alike, any other is refused.
  expect(await join(plane.url, token, "host-a", secret)).toMatchObject({ status: 200 });
  expect(await join(plane.url, token, "host-a", aSecret())).toMatchObject(REFUSED);
  expect(await join(plane.url, `csj_${"0".repeat(64)}`, "host-a", secret)).toMatchObject(REFUSED);
  const late = await tokenOf({ runner: "host-c" });
  await studio.sql`update runner_join_token set expires_at = now() - interval '1 second' where used_at is null`;
  expect(await join(plane.url, late, "host-c", secret)).toMatchObject(REFUSED);
});

test("of two runners that use one token at the same time one joins", async () => {
  const token = await tokenOf({});
  const answers = await Promise.all(["twin-a", "twin-b"].map((name) => join(plane.url, token, name, aSecret())));
  expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 401]);
});

test("a token for any runner takes no name that is taken; one for that runner gives it another secret", async () => {
  const old = await joined("host-d");
  expect(await join(plane.url, await tokenOf({}), "host-d", aSecret())).toMatchObject({
    status: 400,
    body: { error: { param: "runner" } },
  });
  const runner = await HostileRunner.dial(plane.url, old);
  runner.hello("host-d");
  await runner.hear("welcome");
  const secret = await joined("host-d");
  expect(await runner.closed).toBe(4_001);
  await expect(HostileRunner.dial(plane.url, old)).rejects.toThrow("401");
  (await HostileRunner.dial(plane.url, secret)).end();
});

test("only hashes of tokens and secrets are in the database, and neither is in the audit log", async () => {
  const token = await tokenOf({ runner: "host-e" });
  const secret = aSecret();
  await join(plane.url, token, "host-e", secret);
  const dump = JSON.stringify([
    await studio.sql`select * from runner_join_token`,
    await studio.sql`select * from runner_secret`,
    await studio.sql`select record from admin_audit`,
  ]);
  for (const text of [token, secret]) {
    expect(dump).not.toContain(text.slice(4));
    expect(dump).toContain(createHash("sha256").update(text).digest("hex"));
  }
});

test.each(["", "Bearer ", `csj_${"0".repeat(64)}`, `csr_${"0".repeat(64)}`, "csr_short"])(
  "nobody dials with %j",
  async (secret) => {
    await expect(HostileRunner.dial(plane.url, secret)).rejects.toThrow("401");
  },
);

test("a runner cannot dial under another's name", async () => {
  const runner = await HostileRunner.dial(plane.url, await joined("host-f"));
  runner.hello("host-a");
  expect(await runner.closed).toBe(1_008);
});

test("a runner with a good secret can say nothing about another's work, and gets nothing of it", async () => {
  await plane.runner("honest", 1);
  const secret = await joined("hostile");
  const job = await submitted();
  const { epoch } = await running(job);
  const lease = { job, epoch };
  const hostile = await HostileRunner.dial(plane.url, secret);
  // It claims the lease as one that it still holds.
  hostile.hello("hostile", [{ ...lease, devices: ["cpu-0"] }]);
  expect(await hostile.hear("stale")).toEqual({ t: "stale", lease });
  const sha256 = "a".repeat(64);
  const artifact = { sha256, bytes: 1, latents_sha256: null, frames_sha256: null };
  for (const frame of [
    { t: "stage", lease, stage: "upload" },
    { t: "step", lease, stage: "denoise", done: 30, of: 30, ms: 1 },
    { t: "upload", lease, kind: "artifact", sha256, bytes: 1 },
    { t: "checkpoint", lease, step: 30, sha256, bytes: 1, exactness: "exact" },
    { t: "finished", lease, artifact },
    { t: "failed", lease, error: { class: "user", code: "no", detail: "no" } },
    { t: "stopped", lease, why: "cancel", step: 30 },
    { t: "refused", lease, reason: "busy" },
  ]) {
    hostile.say(frame);
    expect(await hostile.hear("stale")).toEqual({ t: "stale", lease });
  }
  hostile.say({ t: "accepted", lease });
  hostile.say({ t: "heartbeat", beat: 0, leases: [lease] });
  expect((await hostile.hear("renewed")).leases).toEqual([]);
  expect(hostile.heard.filter(({ t }) => t === "assign" || t === "upload_url")).toEqual([]);
  const row = await running(job);
  expect(row).toEqual({ state: "running", epoch, runnerId: "honest" });
  const [traces] = await studio.sql`
    select (select count(*)::int from checkpoint where job_id = ${job} and sha256 = ${sha256}) as checkpoints,
      (select count(*)::int from runner_incident) as incidents`;
  expect(traces).toEqual({ checkpoints: 0, incidents: 0 });
  hostile.end();
  // What comes next is not for this one.
  await plane.admin("PATCH", "/runners/honest", { drained: true });
});

test("a revoked runner is cut off at once, its work goes on elsewhere, and it does not come back without a new token", async () => {
  const [first, second] = ["cut-a", "cut-b"];
  await plane.runner(first, 1);
  const job = await submitted();
  const before = await running(job);
  expect(before.runnerId).toBe(first);
  await plane.runner(second, 1);
  const startedMs = performance.now();
  await plane.admin("DELETE", `/runners/${first}/secret`);
  const row = await until("it runs elsewhere", WAIT_MS, async () => {
    const [now] = await studio.sql<{ state: string; epoch: number; runnerId: string | null; attempts: number }[]>`
      select state, epoch, runner_id, attempts from job where id = ${job}`;
    return now?.runnerId === second ? now : null;
  });
  console.log(`revoked runner's job was on another runner after ${Math.round(performance.now() - startedMs)} ms`);
  expect(row.epoch).toBe(before.epoch + 1);
  const { data } = (await plane.admin("GET", "/runners")) as { data: { id: string; state: string }[] };
  expect(data.find(({ id }) => id === first)?.state).toBe("lost");
  await expect(plane.admin("DELETE", `/runners/${first}/secret`)).rejects.toThrow("404");
});
