/** The admin audit log: every act leaves one row, and no row can be changed, taken out or put in without being found. */
import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { verifyAndShow } from "#control-plane/loop/ledger-keeper.ts";
import { GENESIS, readAuditLog, verifyAuditLog } from "#control-plane/usecase/admin-audit.ts";
import { createAccount } from "#control-plane/usecase/administer.ts";
import { systemClock } from "#control-plane/system-clock.ts";
import { anAdminApp, callAdmin } from "#tests/support/leader.ts";
import { MODEL } from "#tests/support/put-model.ts";
import { QUIET } from "#tests/support/quiet-host.ts";
import { anArtifact, RUNNER, Studio } from "#tests/support/studio.ts";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import { registerRunner } from "#control-plane/usecase/lead.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

interface Act {
  readonly seq: number;
  readonly act: string;
  readonly target: string;
  readonly actor: string;
  readonly request_id: string;
  readonly changes: Readonly<Record<string, unknown>>;
}

async function log(after = 0): Promise<readonly Act[]> {
  const { data } = await readAuditLog(studio.sql, after, 1_000);
  return data.map(({ record }) => JSON.parse(record) as Act);
}

const CLASS = {
  resolution: "192p",
  seconds_max: 7,
  price: "0.5",
  shapes: [{ k: 1, vram_bytes: 1_000, wall_ms: 900, encode_ms: 100, decode_ms: 200 }],
} as const;
const TIER = {
  weight: 2,
  max_running: 1,
  max_queued: 10,
  creates_per_minute: 60,
  creates_burst: 30,
  start_bound_s: 60,
} as const;

test("every act of the operator leaves one row: who, what, to what, in which call", async () => {
  const account = await studio.account("pro", { amount: "100" });
  const job = await studio.submitted(account);
  const { job: started } = await studio.dispatched(job.id);
  const lease = { job: job.id, epoch: started.epoch };
  await recordEnd(studio.sql, lease, {
    kind: "finished",
    epoch: lease.epoch,
    artifact: anArtifact(),
    artifactKey: "jobs/x/1/a.mp4",
  });
  const caps = { checkpoint: "none", step_progress: false, cancel: "process" } as const;
  await registerRunner(studio.sql, { id: RUNNER, engine: "toy", build: "1", models: [], caps, devices: [] });
  await studio.sql`
    insert into runner_secret (runner_id, secret_sha256, token_id) values (${RUNNER}, ${"a".repeat(64)}, 'rjt_test')`;
  const key = await callAdmin(studio, "POST", `/accounts/${account}/keys`, {});
  const keyId = (key.body as { id: string }).id;
  const grant = await callAdmin(studio, "POST", "/grants", { account_id: account, amount: "5" }, once());
  const grantId = (grant.body as { id: string }).id;
  const acts: readonly (readonly [string, string, object | undefined, string, string])[] = [
    ["POST", "/accounts", { name: "a", tier: "pro" }, "account.create", "acct_0000000000000000"],
    ["PATCH", `/accounts/${account}`, { tier: "plus" }, "account.change", account],
    ["DELETE", `/keys/${keyId}`, undefined, "key.revoke", keyId],
    ["POST", `/grants/${grantId}/void`, { reason: "r" }, "credits.void", account],
    ["POST", "/adjustments", { account_id: account, amount: "1", reason: "r" }, "credits.adjust", account],
    ["POST", "/refunds", { video_id: job.id, reason: "r" }, "credits.refund", account],
    ["PUT", "/tiers/audited", TIER, "tier.put", "audited"],
    ["PATCH", "/models/reference", { load_ms: 1 }, "model.change", "reference"],
    ["PUT", "/models/wan", MODEL, "model.put", "wan"],
    ["PUT", "/models/reference/classes/192p/7s", CLASS, "class.put", "reference/192p/7s"],
    ["DELETE", "/models/reference/classes/192p/7s", undefined, "class.retire", "reference/192p/7s"],
    ["PATCH", "/scheduler/limits", { preemptions_max: 3 }, "limits.change", "scheduler"],
    ["PATCH", `/runners/${RUNNER}`, { drained: true }, "runner.drain", RUNNER],
    ["POST", "/runner_tokens", { runner: RUNNER }, "runner_token.create", ""],
    ["DELETE", `/runners/${RUNNER}/secret`, undefined, "runner.revoke", RUNNER],
  ];
  for (const [method, path, body, act, target] of acts) {
    const before = (await log()).length;
    const { status } = await callAdmin(studio, method, path, body, once());
    expect([path, status]).toEqual([path, 200]);
    const rows = await log(before);
    expect(rows.map((row) => [row.act, row.actor])).toEqual([[act, "test"]]);
    expect(rows[0]?.request_id).toMatch(/^req_[0-9a-f]{32}$/);
    if (target !== "") expect(rows[0]?.target).toBe(target);
    // What is refused leaves none: nothing was done. A class may be retired again.
    const again = await callAdmin(studio, method, path, { nonsense: true }, once());
    expect((await log(before)).length).toBe(again.status === 200 ? 2 : 1);
    expect([act, again.status === 200]).toEqual([act, act === "class.retire"]);
  }
  const tested = acts.map(([method, path]) => `${method} ${path}`);
  const made = [...tested, `POST /accounts/${account}/keys`, "POST /grants"];
  const mutating = anAdminApp(studio).routes.filter(({ method }) => method !== "GET" && method !== "ALL");
  expect(mutating).toHaveLength(made.length);
  const untested = mutating.filter(({ method, path }) => !made.some((call) => matches(call, method, path)));
  expect(untested, "a route that changes something and is not in the list above").toEqual([]);
  expect(JSON.stringify(await log())).not.toContain((key.body as { api_key: string }).api_key.slice(24));
});

test("an act that is asked for again under its key leaves no second row", async () => {
  const account = await studio.account("pro");
  const same = once();
  await callAdmin(studio, "POST", "/adjustments", { account_id: account, amount: "1", reason: "r" }, same);
  const before = (await log()).length;
  await callAdmin(studio, "POST", "/adjustments", { account_id: account, amount: "1", reason: "r" }, same);
  expect(await log(before)).toEqual([]);
});

test("acts that come together stand in one chain, whose hashes anybody can compute", async () => {
  await Promise.all(Array.from({ length: 20 }, () => studio.account("free")));
  expect((await verifyAuditLog(studio.sql)).breaches).toEqual([]);
  const { data } = await readAuditLog(studio.sql, 0, 1_000);
  let hash: string = GENESIS;
  data.forEach((entry, index) => {
    expect(entry.prev_hash).toBe(hash);
    hash = createHash("sha256").update(`${hash}\n${entry.record}`).digest("hex");
    expect(entry.hash).toBe(hash);
    expect((JSON.parse(entry.record) as Act).seq).toBe(index + 1);
  });
});

test("the log is read in pages, oldest first", async () => {
  const answer = await callAdmin(studio, "GET", "/audit_log?limit=2&after=1");
  const { data, has_more } = answer.body as { data: { record: string }[]; has_more: boolean };
  expect(data.map(({ record }) => (JSON.parse(record) as Act).seq)).toEqual([2, 3]);
  expect(has_more).toBe(true);
  expect((await callAdmin(studio, "GET", "/audit_log?limit=0")).status).toBe(400);
});

test("the database itself refuses to change, remove or empty it", async () => {
  const { sql } = studio;
  const refused = { code: "42501" };
  await expect(sql`update admin_audit set record = '{}' where seq = 1`).rejects.toMatchObject(refused);
  await expect(sql`delete from admin_audit where seq = 1`).rejects.toMatchObject(refused);
  await expect(sql`truncate admin_audit`).rejects.toMatchObject(refused);
  await expect(sql`delete from admin_audit_head`).rejects.toMatchObject(refused);
  await expect(sql`update admin_audit_head set seq = seq + 2`).rejects.toMatchObject(refused);
  await expect(sql`update admin_audit_head set hash = ${"0".repeat(64)}, seq = seq + 1`).rejects.toMatchObject(refused);
});

/** As somebody who may do everything in this database, and has switched the triggers off. */
const TAMPERINGS: readonly (readonly [string, string, RegExp])[] = [
  [
    "a changed row",
    "update admin_audit set record = replace(record, 'account', 'nothing') where seq = 4",
    /^audit row 4 was changed$/,
  ],
  [
    "a changed row with its hash made good",
    `update admin_audit set record = '{}', hash = encode(sha256(convert_to(prev_hash || e'\\n{}', 'UTF8')), 'hex') where seq = 4`,
    /^audit row 5 does not follow row 4 as it is now$/,
  ],
  ["a row taken out", "delete from admin_audit where seq = 4", /^audit row 5 follows row 3: rows are missing$/],
  [
    "the newest rows cut off",
    "delete from admin_audit where seq > 5",
    /^the log ends with row 5, its head says 8: rows are missing$/,
  ],
  [
    "a row put in at the end",
    "insert into admin_audit (seq, record, prev_hash, hash) select seq + 1, '{}', hash, repeat('0', 64) from admin_audit order by seq desc limit 1",
    /^audit row 9 was changed$/,
  ],
  [
    "two rows exchanged",
    `update admin_audit a set record = b.record from admin_audit b where (a.seq, b.seq) in ((3, 4), (4, 3))`,
    /^audit row 3 was changed$/,
  ],
  ["everything removed", "delete from admin_audit", /^the log ends with row 0, its head says 8: rows are missing$/],
];

let own: Studio;
beforeEach(async ({ task }) => {
  if (!task.name.includes("is found")) return;
  own = await Studio.open();
  for (let n = 0; n < 8; n++) {
    await createAccount(
      own.database,
      { actor: "test", requestId: `req_${n}` },
      { name: `a${n}`, tier: "pro" },
      bytes(n),
    );
  }
});
afterEach(async ({ task }) => {
  if (task.name.includes("is found")) await own.close();
});

test.each(TAMPERINGS)("%s is found, and named, by an audit", async (_what, tamper, named) => {
  expect((await verifyAuditLog(own.sql)).breaches).toEqual([]);
  await own.sql.begin(async (tx) => {
    await tx`set local session_replication_role = replica`;
    await tx.unsafe(tamper);
  });
  const { breaches } = await verifyAuditLog(own.sql);
  expect(breaches[0]).toMatchObject({ rule: "A1", row: expect.stringMatching(named) as string });
  const shown = new Map<string, number>();
  const meter = { ...QUIET.meter, show: (name: string, value: number) => void shown.set(name, value) };
  await verifyAndShow(own.sql, { clock: systemClock, log: QUIET.log, meter });
  expect(shown.get("admin_audit_breaches")).toBeGreaterThan(0);
});

let keys = 0;
function once(): Readonly<Record<string, string>> {
  return { "idempotency-key": `audit-${keys++}` };
}

const bytes = (n: number) => (count: number) => new Uint8Array(count).fill(n);

function matches(call: string, method: string, path: string): boolean {
  const pattern = path.replace(/:class\{\.\+\}/, ".+").replace(/:[a-z]+/g, "[^/]+");
  return new RegExp(`^${method} ${pattern.replace("/admin/v1", "")}$`).test(call);
}
