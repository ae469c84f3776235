/**
 * What the database itself saw, written by triggers in the transactions that did it: no client's clock and no polling in
 * between. Every dispatch with the leader's epoch, every reign, and every write that an old epoch should not have made.
 */
import type postgres from "postgres";

export interface SeenDispatch {
  readonly job: string;
  readonly epoch: number;
  readonly runner: string;
  readonly leader: number;
  readonly atMs: number;
}

const TABLES = `
  create schema chaos;
  create table chaos.dispatch (job text, epoch int, runner text, leader int, at timestamptz default clock_timestamp());
  create index on chaos.dispatch (job, epoch);
  create table chaos.reign (epoch int, at timestamptz default clock_timestamp());
  create table chaos.breach (what text, at timestamptz default clock_timestamp());

  create function chaos.on_attempt() returns trigger language plpgsql as $$ begin
    insert into chaos.dispatch (job, epoch, runner, leader)
      values (new.job_id, new.epoch, new.runner_id, (select epoch from public.leader));
    return null;
  end $$;
  create trigger chaos after insert on public.attempt for each row execute function chaos.on_attempt();

  create function chaos.on_leader() returns trigger language plpgsql as $$ begin
    if tg_op = 'UPDATE' and new.epoch < old.epoch then
      insert into chaos.breach (what) values (format('the leader''s epoch fell from %s to %s', old.epoch, new.epoch));
    end if;
    if tg_op = 'INSERT' or new.epoch <> old.epoch then insert into chaos.reign (epoch) values (new.epoch); end if;
    return null;
  end $$;
  create trigger chaos after insert or update on public.leader for each row execute function chaos.on_leader();

  create function chaos.on_led_row() returns trigger language plpgsql as $$ begin
    if new.epoch < old.epoch then
      insert into chaos.breach (what) values (format('%s: epoch %s wrote after %s', tg_table_name, new.epoch, old.epoch));
    end if;
    return null;
  end $$;

  create function chaos.on_checkpoint() returns trigger language plpgsql as $$ begin
    if exists (select from public.attempt a
        where a.job_id = new.job_id and a.epoch = new.epoch and a.ended_at is not null) then
      insert into chaos.breach (what) values (format('stale: a checkpoint of %s/%s after its end', new.job_id, new.epoch));
    end if;
    return null;
  end $$;
  create trigger chaos after insert on public.checkpoint for each row execute function chaos.on_checkpoint();

  create function chaos.on_job() returns trigger language plpgsql as $$ begin
    if old.finished_at is not null and new.state <> old.state then
      insert into chaos.breach (what) values (format('%s went from %s to %s', new.id, old.state, new.state));
    end if;
    if new.epoch < old.epoch then
      insert into chaos.breach (what) values (format('the epoch of %s fell from %s to %s', new.id, old.epoch, new.epoch));
    end if;
    return null;
  end $$;
  create trigger chaos after update on public.job for each row execute function chaos.on_job();
`;

/** Tables whose rows name the leader that wrote them last. */
const LED_TABLES = ["admission_summary", "ledger_audit", "credit_watch"] as const;

export class Witness {
  readonly sql: postgres.Sql;

  static async call(sql: postgres.Sql): Promise<Witness> {
    await sql.unsafe(TABLES);
    for (const table of LED_TABLES) {
      await sql.unsafe(`create trigger chaos after update on public.${table}
        for each row execute function chaos.on_led_row()`);
    }
    return new Witness(sql);
  }

  private constructor(sql: postgres.Sql) {
    this.sql = sql;
  }

  /** The dispatch of a job under an epoch above `epoch`, if there was one. */
  async dispatchAfter(job: string, epoch: number): Promise<SeenDispatch | null> {
    const [row] = await this.sql<SeenDispatch[]>`
      select job, epoch, runner, leader, (extract(epoch from at) * 1000)::float8 as "atMs"
      from chaos.dispatch where job = ${job} and epoch > ${epoch} order by epoch limit 1`;
    return row ?? null;
  }

  /** The first scheduling commit of any leader after `leaderEpoch`. */
  async firstDispatchOfLeaderAfter(leaderEpoch: number): Promise<SeenDispatch | null> {
    const [row] = await this.sql<SeenDispatch[]>`
      select job, epoch, runner, leader, (extract(epoch from at) * 1000)::float8 as "atMs"
      from chaos.dispatch where leader > ${leaderEpoch} order by at limit 1`;
    return row ?? null;
  }

  async dispatchesTo(runner: string): Promise<readonly SeenDispatch[]> {
    return this.sql<SeenDispatch[]>`
      select job, epoch, runner, leader, (extract(epoch from at) * 1000)::float8 as "atMs"
      from chaos.dispatch where runner = ${runner} order by at`;
  }

  /** What happened since `sinceMs` that must not. */
  async breaches(sinceMs: number): Promise<readonly string[]> {
    const rows = await this.sql<{ what: string }[]>`
      select what from chaos.breach where at >= to_timestamp(${sinceMs / 1_000}) order by at`;
    return rows.map(({ what }) => what);
  }
}
