/**
 * What must hold of the tables, the files and the receiver's log once everything is at rest: each oracle answers what it finds
 * broken, in words. `tests/db/chaos-oracles.test.ts` breaks rows by hand and sees each of them complain.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import type postgres from "postgres";
import type { History } from "./history.ts";
import type { Delivery } from "./receiver.ts";

/** Every acknowledged job is there and ended; every operation made one job at most; a refused one made none. */
export async function lostOrTwice(
  sql: postgres.Sql,
  accounts: string[],
  history: Pick<History, "acknowledged" | "operations">,
): Promise<readonly string[]> {
  const jobs = await sql<{ id: string; state: string; op: string | null; finished: boolean }[]>`
    select id, state, metadata ->> 'op' as op, finished_at is not null as finished
    from job where account_id = any(${accounts})`;
  const byId = new Map(jobs.map((job) => [job.id, job]));
  const lost = history.acknowledged.flatMap((id) => {
    const job = byId.get(id);
    return job?.finished === true ? [] : [`lost: ${id} was acknowledged and is ${job?.state ?? "gone"}`];
  });
  const made = Map.groupBy(jobs, ({ op }) => op ?? "");
  const wrong = history.operations.flatMap(({ name, kind, outcome, job }) => {
    if (kind !== "submit") return [];
    const ids = (made.get(name) ?? []).map(({ id }) => id);
    if (ids.length > 1) return [`twice: ${name} made ${ids.join(" and ")}`];
    if (outcome === "fail" && ids.length > 0) return [`${name} was refused and made ${ids.join()}`];
    return outcome === "ok" && ids[0] !== job
      ? [`${name} was answered ${job} and made ${ids.join() || "nothing"}`]
      : [];
  });
  return [...lost, ...wrong];
}

/** One ending and one event of it a job; at most one completed attempt, the last. */
export async function wrongEndings(sql: postgres.Sql, accounts: string[]): Promise<readonly string[]> {
  const rows = await sql<{ what: string }[]>`
    select format('%s is %s and told %s endings', j.id, j.state, count(e.id)) as what
    from job j left join event e on e.job_id = j.id and e.type in ('video.completed', 'video.failed', 'video.cancelled')
    where j.account_id = any(${accounts}) and j.finished_at is not null
    group by j.id having count(e.id) <> 1 or min(e.type::text) <> 'video.' || j.state
    union all
    select format('twice: %s completed in %s attempts, the last has epoch %s of %s', j.id, count(*), max(a.epoch), j.epoch)
    from job j join attempt a on a.job_id = j.id and a.outcome = 'completed'
    where j.account_id = any(${accounts}) group by j.id having count(*) > 1 or max(a.epoch) <> j.epoch
    union all
    select format('stale: the artifact of %s/%s is %s', id, epoch, artifact_key) from job
    where account_id = any(${accounts}) and artifact_key is not null
      and artifact_key not like format('jobs/%s/%s/%%', id, epoch)`;
  return rows.map(({ what }) => what);
}

/** A job is charged once: its price if completed, at most that if cancelled, nothing if it failed, but for a deadline of its own. */
export async function wrongMoney(sql: postgres.Sql, accounts: string[]): Promise<readonly string[]> {
  const rows = await sql<{ what: string }[]>`
    select format('money: %s is %s, price %s, hold %s %s, captured %s in %s entries', j.id, j.state, j.price, h.state,
      h.amount, h.captured, (select count(*) from credit_entry e where e.job_id = j.id and e.kind = 'captured')) as what
    from job j left join credit_hold h on h.job_id = j.id
    where j.account_id = any(${accounts}) and j.finished_at is not null and (
      h.state is distinct from 'settled' or h.captured <>
        (select coalesce(sum(e.amount), 0) from credit_entry e where e.job_id = j.id and e.kind = 'captured')
      or case j.state when 'completed' then h.captured <> j.price when 'failed'
        then h.captured <> case when j.error_code = 'deadline_exceeded' and j.error_fault = 'user'
          then j.price * greatest(0, j.steps_done - j.first_step) / (coalesce(j.stop_after, j.steps) - j.first_step) else 0 end
        else h.captured > j.price end)`;
  return rows.map(({ what }) => what);
}

export async function overlaps(sql: postgres.Sql, accounts: string[]): Promise<readonly string[]> {
  const rows = await sql<{ what: string }[]>`
    select format('attempts %s and %s of %s overlap', a.epoch, b.epoch, a.job_id) as what
    from attempt a join attempt b on b.job_id = a.job_id and b.epoch > a.epoch
    join job j on j.id = a.job_id
    where j.account_id = any(${accounts}) and coalesce(a.ended_at, 'infinity') > b.started_at`;
  return rows.map(({ what }) => what);
}

export async function gaps(sql: postgres.Sql, accounts: string[]): Promise<readonly string[]> {
  const rows = await sql<{ what: string }[]>`
    select format('events of %s: %s of them, numbered %s to %s, counter %s', e.account_id, count(*), min(sequence_number),
      max(sequence_number), c.last) as what
    from event e join event_counter c on c.account_id = e.account_id where e.account_id = any(${accounts})
    group by e.account_id, c.last
    having count(*) <> max(sequence_number) or min(sequence_number) <> 1 or c.last <> max(sequence_number)`;
  return rows.map(({ what }) => what);
}

export async function heldDevices(sql: postgres.Sql): Promise<readonly string[]> {
  const rows = await sql`select runner_id, device, slot, job_id from device_claim`;
  return rows.map((row) => `a device is held at rest: ${JSON.stringify(row)}`);
}

/** Each ending reached the receiver, under one id however often. */
export async function untold(
  sql: postgres.Sql,
  accounts: string[],
  deliveries: readonly Pick<Delivery, "event" | "webhookId">[],
): Promise<readonly string[]> {
  const events = await sql<{ id: string; job_id: string }[]>`
    select id, job_id from event where account_id = any(${accounts})
      and type in ('video.completed', 'video.failed', 'video.cancelled')`;
  const told = Map.groupBy(deliveries, ({ event }) => event);
  return events.flatMap(({ id, job_id: job }) => {
    const ids = new Set((told.get(id) ?? []).map(({ webhookId }) => webhookId));
    return ids.size === 1 ? [] : [`webhook: the end of ${job} was delivered under ${ids.size} ids`];
  });
}

/** Every file is named by what is in it, and every completed video has its file. */
export async function brokenFiles(
  sql: postgres.Sql,
  accounts: string[],
  store: string,
  spoiled: ReadonlySet<string>,
): Promise<readonly string[]> {
  const wanted = await sql<{ id: string; artifact_key: string; artifact_sha256: string }[]>`
    select id, artifact_key, artifact_sha256 from job where account_id = any(${accounts}) and artifact_key is not null
      and deleted_at is null`;
  const missing = await Promise.all(
    wanted.map(async ({ id, artifact_key: key, artifact_sha256: sha256 }) => {
      const bytes = await readFile(join(store, key)).catch(() => null);
      return bytes !== null && hashOf(bytes) === sha256 ? [] : [`file: ${id} is completed, ${key} is not what it says`];
    }),
  );
  const jobs = new Set(
    (await sql<{ id: string }[]>`select id from job where account_id = any(${accounts})`).map(({ id }) => id),
  );
  const files = await readdir(join(store, "jobs"), { recursive: true }).catch(() => []);
  const torn = await Promise.all(
    files
      .filter((file) => file.includes(".") && !spoiled.has(file) && jobs.has(file.split("/")[0] ?? ""))
      .map(async (file) => {
        const bytes = await readFile(join(store, "jobs", file)).catch(() => null);
        // Null: the sweep removed it meanwhile.
        return bytes === null || basename(file).startsWith(hashOf(bytes)) ? [] : [`torn file: ${file}`];
      }),
  );
  return [...missing, ...torn].flat();
}

function hashOf(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
