/** A small studio for database tests: accounts with credits, submits, and a leader that dispatches by hand. */
import { randomBytes } from "node:crypto";
import { connect } from "#control-plane/db/connect.ts";
import type { Database } from "#control-plane/db/connect.ts";
import type { JobRow } from "#control-plane/db/jobs.ts";
import { lockJob } from "#control-plane/db/jobs.ts";
import { takeLeadership } from "#control-plane/db/leader.ts";
import { createAccount, createGrant } from "#control-plane/usecase/administer.ts";
import { AdmissionOutlook } from "#control-plane/usecase/admission-outlook.ts";
import { dispatch } from "#control-plane/usecase/dispatch.ts";
import type { Dispatched } from "#control-plane/usecase/dispatch.ts";
import { expireGrants } from "#control-plane/usecase/expire-grants.ts";
import { submitJob } from "#control-plane/usecase/submit-job.ts";
import type { Submitted } from "#control-plane/usecase/submit-job.ts";
import { CreateVideo } from "#protocol/create-video.ts";
import type { IdempotencyClaim } from "#protocol/edge-call.ts";
import { CreateKey, DeviceId, RequestId, RunnerId, Sha256Hex } from "#protocol/id.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import type { Artifact } from "#protocol/runner.ts";
import { BY_TEST } from "./by-test.ts";
import { createTestDatabase } from "./postgres.ts";

export const RUNNER = RunnerId.parse("runner-1");
/** A dispatch by hand leaves the fair order as it is. */
export const NO_CLOCK = { accounts: [], tiers: [] } as const;
const LEASE_MS = 3_600_000;
export const TINY = { prompt: "a red fox", size: "320x192", seconds: 1, steps: 10 } as const;

export function sha256(fill: string): Sha256Hex {
  return Sha256Hex.parse(fill.repeat(64).slice(0, 64));
}

export function anArtifact(): Artifact {
  return { sha256: sha256("a"), bytes: 1_000, latents_sha256: sha256("b"), frames_sha256: sha256("c") };
}

export function aCreateKey(): CreateKey {
  return CreateKey.parse(`ck_${randomBytes(10).toString("hex")}`);
}

export class Studio {
  readonly url: string;
  readonly database: Database;
  readonly #drop: () => Promise<void>;
  #epoch: number | null = null;
  #devices = 0;

  static async open(connectionsMax?: number): Promise<Studio> {
    const { url, drop } = await createTestDatabase();
    return new Studio(url, drop, connectionsMax);
  }

  constructor(url: string, drop: () => Promise<void>, connectionsMax?: number) {
    this.url = url;
    this.database = connect(url, connectionsMax);
    this.#drop = drop;
  }

  get sql() {
    return this.database.sql;
  }

  async close(): Promise<void> {
    await this.database.close();
    await this.#drop();
  }

  async account(
    tier: string,
    ...grants: readonly Partial<Omit<Parameters<typeof createGrant>[2], "account_id">>[]
  ): Promise<AccountId> {
    const created = await createAccount(this.database, BY_TEST, { name: "test", tier }, (count) => randomBytes(count));
    if (!created.ok) throw new Error(created.refusal.message);
    for (const grant of grants) {
      const terms = { amount: "1000", category: "paid", priority: 50, ...grant } as const;
      const granted = await createGrant(this.database, BY_TEST, { account_id: created.value.id, ...terms });
      if (!granted.ok) throw new Error(granted.refusal.message);
    }
    return created.value.id;
  }

  async submit(
    account: AccountId,
    request: object = TINY,
    createKey: CreateKey = aCreateKey(),
    idempotency?: IdempotencyClaim,
  ): Promise<Submitted> {
    return submitJob(this.sql, {
      account,
      requestId: RequestId.parse(`req_${randomBytes(16).toString("hex")}`),
      submit: { create_key: createKey, video: CreateVideo.parse(request), idempotency },
      reference: null,
      seed: 7,
      // Read anew for every submit: tests write what the leader would.
      loadOf: await new AdmissionOutlook(this.sql, Date.now).read(),
    });
  }

  async submitted(account: AccountId, request: object = TINY): Promise<JobRow> {
    const outcome = await this.submit(account, request);
    if (!outcome.ok) throw new Error(outcome.refusal.message);
    return outcome.job;
  }

  /** On a device of its own, unless one is named. */
  async dispatched(
    job: VideoId,
    runner: RunnerId = RUNNER,
    device: DeviceId = DeviceId.parse(`cpu-${this.#devices++}`),
  ): Promise<Dispatched> {
    const outcome = await dispatch(
      this.sql,
      await this.leaderEpoch(),
      [{ job, runner, devices: [device], slot: null, slots: 1 }],
      NO_CLOCK,
    );
    const [work] = outcome.dispatched;
    if (work === undefined) throw new Error("the job could not be dispatched");
    return work;
  }

  /** The epoch under which this test leads. */
  async leaderEpoch(): Promise<number> {
    this.#epoch ??= await takeLeadership(this.sql, "test", null, LEASE_MS);
    if (this.#epoch === null) throw new Error("somebody else leads this test's database");
    return this.#epoch;
  }

  /** Waits until the grant's end has come, and is posted. */
  async expired(grant: string): Promise<void> {
    await this.ended(grant);
    await expireGrants(this.sql, await this.leaderEpoch());
  }

  /** Waits until the grant's end has come by the server's clock, posted or not. */
  async ended(grant: string): Promise<void> {
    await this.sql`
      select pg_sleep_until(expires_at) from credit_grant
      where id = ${grant} and expires_at < clock_timestamp() + interval '2 seconds'`;
  }

  async job(id: VideoId): Promise<JobRow> {
    const job = await this.sql.begin((tx) => lockJob(tx, id));
    if (job === null) throw new Error("no such job");
    return job;
  }

  /** What the account's grants hold and have consumed, in milli-credits. */
  async purse(account: AccountId): Promise<{ readonly held: bigint; readonly consumed: bigint }> {
    const [row] = await this.sql<{ held: bigint; consumed: bigint }[]>`
      select coalesce(sum(held), 0)::bigint as held, coalesce(sum(consumed), 0)::bigint as consumed
      from credit_grant where account_id = ${account}`;
    if (row === undefined) throw new Error("an aggregate has a row");
    return row;
  }

  async eventTypes(account: AccountId): Promise<readonly string[]> {
    const rows = await this.sql<{ type: string; sequenceNumber: number }[]>`
      select type, sequence_number from event where account_id = ${account} order by sequence_number`;
    rows.forEach((row, index) => {
      if (row.sequenceNumber !== index + 1) throw new Error(`gap before event ${row.sequenceNumber}`);
    });
    return rows.map((row) => row.type);
  }
}
