/** One control plane process: the product's own parts, wired as `control-plane/main.ts` does, on a simulated system. */
import type { Meter } from "#control-plane/core/meter.ts";
import { DEVELOPMENT_LIMITS } from "#control-plane/core/scheduler/limits.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import { EdgeSender } from "#control-plane/loop/edge-sender.ts";
import { LeaderReign } from "#control-plane/loop/leader-reign.ts";
import { Leadership } from "#control-plane/loop/leadership.ts";
import { ProgressRecorder } from "#control-plane/loop/progress-recorder.ts";
import { RunnerDesk } from "#control-plane/socket/runner-desk.ts";
import { RunnerHub } from "#control-plane/socket/runner-hub.ts";
import { acceptRunners } from "#control-plane/socket/runner-upgrade.ts";
import { StoreUrls } from "#control-plane/store/store-url.ts";
import { AdmissionOutlook } from "#control-plane/usecase/admission-outlook.ts";
import { leadOf } from "#control-plane/usecase/lead.ts";
import { identifyRunner } from "#control-plane/usecase/runner-identity.ts";
import type { Push } from "#protocol/edge-call.ts";
import type { AccountId } from "#protocol/id.ts";
import type { Kernel } from "../kernel/kernel.ts";
import type { Process } from "../kernel/process.ts";
import { SimulatedSql } from "../postgres/client.ts";
import type { Postgres } from "../postgres/client.ts";
import { listen } from "./listeners.ts";
import type { SimulatedHook } from "./moderation-hook.ts";
import { simulatedLog } from "./quiet-log.ts";
import { STORE_SECRET } from "./store.ts";
import type { SimulatedStore } from "./store.ts";

export interface ReplicaHost {
  readonly kernel: Kernel;
  readonly postgres: Postgres;
  readonly store: SimulatedStore;
  readonly hook: SimulatedHook;
  push(from: Process, account: AccountId, push: Push): Promise<boolean>;
}

/** What a request to this replica works with. */
export interface Replica {
  readonly process: Process;
  readonly sql: Sql;
  readonly outlook: AdmissionOutlook;
  readonly reign: LeaderReign;
  readonly leadership: Leadership;
  readonly hub: RunnerHub;
  wake(): void;
  /** As on SIGTERM: resigns, drains, ends. */
  shutDown(): void;
}

/** Runs inside the new process. */
export function startReplica({ kernel, postgres, store, hook, push }: ReplicaHost, process: Process): Replica {
  const sql = new SimulatedSql(postgres, process) as unknown as Sql;
  const { clock } = process;
  const meter: Meter = { count: () => undefined, show: () => undefined };
  const host = { clock, log: simulatedLog(kernel), meter };
  const view = store.viewOf(process);
  const urls = new StoreUrls("http://store.sim", STORE_SECRET);
  const reign: LeaderReign = new LeaderReign(
    {
      sql,
      store: view,
      urls,
      limits: DEVELOPMENT_LIMITS,
      judgeResult: (result) => hook.judge(process, result),
      ...host,
    },
    () => hub,
    () => sender,
  );
  const sender = new EdgeSender(sql, {
    ...host,
    push: (account, items) => push(process, account, items),
    waitingOf: (account) => reign.waitingOf(account),
    explain: (id) => reign.explain(id),
  });
  const recorder = new ProgressRecorder(sql, host, (shown) => sender.show(shown));
  const desk = new RunnerDesk({
    sql,
    store: view,
    urls,
    now: () => clock.nowMs(),
    meter,
    reviews: hook.reviews,
    leaderEpoch: () => reign.epoch,
    report(frame) {
      recorder.report(frame);
      if (frame.t === "stage") reign.staged(frame.lease, frame.stage);
      else if (frame.stage === "denoise") reign.progressed(frame.lease.job, frame.done);
    },
    stageTimes: (lease, how) => reign.stageTimes(lease, how),
    moved: () => reign.wake(),
    up: (runner) => reign.runnerUp(runner),
    down: (runner) => reign.runnerDown(runner),
  });
  const hub: RunnerHub = new RunnerHub(desk, () => leadership.leaderUrl, host);
  const url = `http://${process.name}.sim`;
  const leadership: Leadership = new Leadership(leadOf(sql), { holder: process.label, url }, reign, host);
  const server = listen(`${process.name}.sim`, process) as unknown as Parameters<typeof acceptRunners>[0];
  const endSockets = acceptRunners(server, hub, {
    identify: (authorization) => identifyRunner(sql, authorization),
    log: host.log,
  });
  recorder.start();
  leadership.start();
  return {
    process,
    sql,
    reign,
    leadership,
    hub,
    outlook: new AdmissionOutlook(sql, () => clock.nowMs()),
    wake: () => reign.wake(),
    shutDown() {
      void stop().then(() => process.kill());
    },
  };

  async function stop(): Promise<void> {
    try {
      await leadership.stop();
      await recorder.stop();
    } catch {
      // As the program: it ends all the same, with another exit code.
    }
    endSockets();
  }
}
