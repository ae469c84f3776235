/** The checker of `npm run chaos` must be able to accuse: rows, files and words are spoiled by hand, and each oracle complains. */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import postgres from "postgres";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { recordEnd } from "#control-plane/usecase/record-run.ts";
import { storeKeyOf } from "#control-plane/store/artifact-store.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { Sha256Hex } from "#protocol/id.ts";
import {
  brokenFiles,
  gaps,
  heldDevices,
  lostOrTwice,
  overlaps,
  untold,
  wrongEndings,
  wrongMoney,
} from "#tests/chaos/oracles.ts";
import { History } from "#tests/chaos/history.ts";
import { type AttemptLine, type AttemptSeen, judgeLogs } from "#tests/chaos/runner-logs.ts";
import { RUNNER, sha256, Studio, TINY } from "#tests/support/studio.ts";

let studio: Studio;
let sql: postgres.Sql;
let home: string;
beforeAll(async () => {
  studio = await Studio.open();
  sql = postgres(studio.url, { max: 1, onnotice: () => undefined });
  home = await mkdtemp(join(tmpdir(), "callsheet-oracles-"));
});
afterAll(async () => {
  await sql.end();
  await studio.close();
  await rm(home, { recursive: true, force: true });
});

interface Scene {
  readonly account: AccountId;
  readonly job: VideoId;
  readonly history: History;
  readonly deliveries: { readonly event: string; readonly webhookId: string }[];
}

/** A video that broke once, was rendered in its second attempt, paid for and told, and everything that is known of it. */
async function aCompletedVideo(): Promise<Scene> {
  const account = await studio.account("pro", { amount: "5" });
  const history = new History("case");
  const operation = history.invoke("submit", account);
  const { id } = await studio.submitted(account, { ...TINY, metadata: { op: operation.name } });
  history.end(operation, "ok", "200", id);
  const first = (await studio.dispatched(id)).job;
  await recordEnd(studio.sql, { job: id, epoch: first.epoch }, { kind: "lost", epoch: first.epoch, how: "not_taken" });
  const { epoch } = (await studio.dispatched(id)).job;
  const bytes = Buffer.from(`the video of ${id}`);
  const hash = Sha256Hex.parse(createHash("sha256").update(bytes).digest("hex"));
  const artifactKey = storeKeyOf({ job: id, epoch }, "artifact", hash);
  await mkdir(dirname(join(home, artifactKey)), { recursive: true });
  await writeFile(join(home, artifactKey), bytes);
  const artifact = { sha256: hash, bytes: bytes.length, latents_sha256: sha256("b"), frames_sha256: sha256("c") };
  const moved = await recordEnd(studio.sql, { job: id, epoch }, { kind: "finished", epoch, artifact, artifactKey });
  if (!moved.ok) throw new Error("the video could not be completed");
  const events = await sql<{ id: string }[]>`select id from event where job_id = ${id} and type = 'video.completed'`;
  const deliveries = events.map((event) => ({ event: event.id, webhookId: `msg_${event.id}` }));
  return { account, job: id, history, deliveries };
}

/** What all oracles of the tables and files find. */
async function findings({ account, history, deliveries }: Scene): Promise<readonly string[]> {
  const accounts = [account];
  return [
    ...(await lostOrTwice(sql, accounts, history)),
    ...(await wrongEndings(sql, accounts)),
    ...(await wrongMoney(sql, accounts)),
    ...(await overlaps(sql, accounts)),
    ...(await gaps(sql, accounts)),
    ...(await heldDevices(sql)),
    ...(await untold(sql, accounts, deliveries)),
    ...(await brokenFiles(sql, accounts, home, new Set())),
  ];
}

/** `$1` is the job, `$2` its account. */
const CORRUPTIONS: readonly (readonly [what: string, says: RegExp, deed: string])[] = [
  [
    "a job is gone",
    /^lost: .* is gone$/,
    "update job set account_id = 'acct_nobody0000000000' where id = $1 and account_id = $2",
  ],
  [
    "a job is taken back from its end",
    /^lost: .* is running$/,
    "update job set state = 'running', finished_at = null where id = $1 and $2 <> ''",
  ],
  [
    "one operation made two jobs",
    /^twice: case-0 made /,
    `insert into job select (jsonb_populate_record(j, '{"id": "video_ffffffffffffffffffffffffffffffff", "create_key": "ck_00000000000000000000"}')).* from job j where id = $1 and $2 <> ''`,
  ],
  [
    "an answer named another job",
    /was answered .* and made nothing/,
    `update job set metadata = '{"op": "someone-else"}' where id = $1 and $2 <> ''`,
  ],
  [
    "the end was told twice",
    /told 2 endings$/,
    "insert into event (account_id, sequence_number, id, type, job_id, data, created_at) select account_id, 1000, 'evt_twice', type, job_id, data, created_at from event where job_id = $1 and account_id = $2 and type = 'video.completed'",
  ],
  [
    "the end was never told",
    /told 0 endings$/,
    "delete from event where job_id = $1 and account_id = $2 and type = 'video.completed'",
  ],
  [
    "another end was told",
    /is completed and told 1 endings$/,
    "update event set type = 'video.failed' where job_id = $1 and account_id = $2 and type = 'video.completed'",
  ],
  [
    "two attempts completed",
    /^twice: .* completed in 2 attempts/,
    "update attempt set outcome = 'completed' where job_id = $1 and $2 <> ''",
  ],
  [
    "an older attempt completed",
    /^twice: .* the last has epoch 1 of 2$/,
    "update attempt set outcome = case epoch when 1 then 'completed'::attempt_outcome else 'lost' end where job_id = $1 and $2 <> ''",
  ],
  [
    "the artifact is a stale attempt's",
    /^stale: the artifact/,
    "update job set artifact_key = replace(artifact_key, '/2/', '/1/') where id = $1 and $2 <> ''",
  ],
  [
    "the price was taken twice",
    /^money: .* in 2 entries$/,
    "insert into credit_entry (account_id, grant_id, job_id, kind, from_book, to_book, amount, at, available_after) select account_id, 'grant_other', job_id, kind, from_book, to_book, amount, at, available_after from credit_entry where job_id = $1 and account_id = $2 and kind = 'captured'",
  ],
  [
    "half of the price was taken",
    /^money: /,
    "update credit_hold set captured = captured / 2 where job_id = $1 and $2 <> ''",
  ],
  ["a hold stays open", /^money: .* hold open/, "update credit_hold set state = 'open' where job_id = $1 and $2 <> ''"],
  [
    "two attempts ran at once",
    /overlap$/,
    "update attempt set ended_at = ended_at + interval '1 hour' where job_id = $1 and epoch = 1 and $2 <> ''",
  ],
  [
    "an event number is missing",
    /^events of /,
    "update event set sequence_number = sequence_number + 5 where job_id = $1 and account_id = $2 and type = 'video.completed'",
  ],
  [
    "the counter ran ahead",
    /^events of .* counter /,
    "update event_counter set last = last + 1 where account_id = $2 and $1 <> ''",
  ],
  [
    "a device stays held",
    /^a device is held at rest/,
    "insert into device_claim (runner_id, device, slot, job_id) select 'runner-1', 'cpu-9', 0, id from job where id = $1 and account_id = $2",
  ],
];

describe("the oracles of the tables", () => {
  test("find nothing wrong with a video that broke once and was completed", async () => {
    expect(await findings(await aCompletedVideo())).toEqual([]);
  });

  test.each(CORRUPTIONS)("complain if %s", async (_what, says, deed) => {
    const scene = await aCompletedVideo();
    const undone = sql.begin(async (tx) => {
      // A hand with every right: triggers, foreign keys and CHECKs do not stop it.
      await tx`set local session_replication_role = replica`;
      for (const { name, owner } of await tx<{ name: string; owner: string }[]>`
        select conname as name, conrelid::regclass::text as owner from pg_constraint
        where contype = 'c' and connamespace = 'public'::regnamespace`) {
        await tx.unsafe(`alter table ${owner} drop constraint "${name}"`);
      }
      expect((await tx.unsafe(deed, [scene.job, scene.account])).count).toBeGreaterThan(0);
      const found = await findingsIn(tx, scene);
      expect(found.filter((one) => says.test(one))).not.toEqual([]);
      throw new Undo();
    });
    await expect(undone).rejects.toThrow(Undo);
    expect(await findings(scene)).toEqual([]);
  });
});

class Undo extends Error {}

/** Within the transaction that broke it, which is then undone. */
function findingsIn(tx: postgres.TransactionSql, scene: Scene): Promise<readonly string[]> {
  const outside = sql;
  sql = tx as unknown as postgres.Sql;
  return findings(scene).finally(() => (sql = outside));
}

describe("the oracles of what was said and kept", () => {
  test("complain if a client was refused and its job is there, or nobody was told of the end, or under two ids", async () => {
    const scene = await aCompletedVideo();
    const [submit] = scene.history.operations;
    if (submit === undefined) throw new Error("a scene begins with a submit");
    scene.history.end(submit, "fail", "429", null);
    expect(await findings(scene)).toEqual([expect.stringMatching(/was refused and made /)]);
    scene.history.end(submit, "ok", "200", scene.job);
    const [told] = scene.deliveries;
    expect(await findings({ ...scene, deliveries: [] })).toEqual([expect.stringMatching(/under 0 ids$/)]);
    const twice = [...scene.deliveries, { event: told?.event ?? "", webhookId: "msg_other" }];
    expect(await findings({ ...scene, deliveries: twice })).toEqual([expect.stringMatching(/under 2 ids$/)]);
  });

  test("complain if a video's file is gone, torn or somebody else's", async () => {
    const scene = await aCompletedVideo();
    const [row] = await sql<{ key: string }[]>`select artifact_key as key from job where id = ${scene.job}`;
    const file = join(home, row?.key ?? "");
    await writeFile(file, "torn");
    expect(await findings(scene)).toEqual([
      expect.stringMatching(/^file: .* is not what it says$/),
      expect.stringMatching(/^torn file: /),
    ]);
    await rm(file);
    expect(await findings(scene)).toEqual([expect.stringMatching(/^file: /)]);
  });
});

describe("the oracle of the runners' logs", () => {
  const attempts: readonly AttemptSeen[] = [
    { job: "a", epoch: 1, runner: "host-1", outcome: "lost" },
    { job: "a", epoch: 2, runner: RUNNER, outcome: "completed" },
  ];
  const line = (runner: string, epoch: number, msg: string, said?: string): AttemptLine => ({
    pid: runner === RUNNER ? 2 : 1,
    runner,
    job: "a",
    epoch,
    msg,
    ...(said === undefined ? {} : { said }),
  });
  const sound = [
    line("host-1", 1, "attempt begins"),
    line("host-1", 1, "said of an attempt", "step"),
    line("host-1", 1, "attempt is stale"),
    line("host-1", 1, "attempt is let go"),
    line("host-1", 1, "said of an attempt", "refused"),
    line(RUNNER, 2, "attempt begins"),
    line(RUNNER, 2, "attempt finished"),
    line(RUNNER, 2, "said of an attempt", "finished"),
    line(RUNNER, 2, "attempt is let go"),
  ];

  test("finds nothing wrong with a runner that let go, and counts who was told", () => {
    expect(judgeLogs(sound, attempts)).toEqual({ breaches: [], stale: 1 });
  });

  test.each([
    [
      "a step is reported after the attempt was told to be stale",
      /says step of a\/1 after/,
      [...sound, line("host-1", 1, "x", "step")],
    ],
    ["one lease is begun twice", /was begun by host-1 and by host-1/, [...sound, line("host-1", 1, "attempt begins")]],
    [
      "a lease is begun by another runner",
      /host-1 began a\/2, which it was never given/,
      [line("host-1", 2, "attempt begins"), ...sound.slice(6)],
    ],
    [
      "a completed attempt was never said to be finished",
      /which runner-1 never said/,
      sound.filter(({ msg }) => msg !== "attempt finished"),
    ],
  ])("complains if %s", (_what, says, lines) => {
    expect(judgeLogs(lines, attempts).breaches.filter((breach) => says.test(breach))).not.toEqual([]);
  });
});
