/**
 * The control plane: the only wiring of its parts. Serves the API on every replica; schedules, keeps runner sockets and
 * pushes to the edge only while it leads.
 */
import { randomBytes, randomInt, randomUUID } from "node:crypto";
import type { Server } from "node:http";
import { flushCompileCache } from "node:module";
import { serve } from "@hono/node-server";
import { pino } from "pino";
import type { Logger } from "pino";
import { readConfig } from "./config.ts";
import type { Config } from "./config.ts";
import type { ResultToJudge } from "./core/moderation.ts";
import { DEVELOPMENT_LIMITS, PRODUCTION_LIMITS } from "./core/scheduler/limits.ts";
import { connect } from "./db/connect.ts";
import type { Database } from "./db/connect.ts";
import { migrate } from "./db/migrate.ts";
import { EdgePusher } from "./egress/edge-push.ts";
import { LeaderCall } from "./egress/leader-call.ts";
import { ModerationHook } from "./egress/moderation-hook.ts";
import { adminApp } from "./http/admin.ts";
import { app } from "./http/app.ts";
import { CallGate } from "./http/call-gate.ts";
import { mintRequestId } from "./http/request-id.ts";
import { EdgeSender } from "./loop/edge-sender.ts";
import { LeaderReign } from "./loop/leader-reign.ts";
import { Leadership } from "./loop/leadership.ts";
import { Pulse } from "./loop/pulse.ts";
import { ProgressRecorder } from "./loop/progress-recorder.ts";
import { identifyRunner } from "./usecase/runner-identity.ts";
import { RunnerDesk } from "./socket/runner-desk.ts";
import { RunnerHub } from "./socket/runner-hub.ts";
import { acceptRunners } from "./socket/runner-upgrade.ts";
import { AdmissionOutlook } from "./usecase/admission-outlook.ts";
import { Metrics } from "./metrics.ts";
import { openStore } from "./open-store.ts";
import type { OpenStore } from "./open-store.ts";
import { systemClock } from "./system-clock.ts";
import { SAFE_LOG } from "#protocol/log-line.ts";
import { leadOf } from "./usecase/lead.ts";
import { webhookGuard, webhookLoop } from "./webhooks.ts";

const LIMITS = {
  development: DEVELOPMENT_LIMITS,
  staging: PRODUCTION_LIMITS,
  production: PRODUCTION_LIMITS,
} as const;
const KEY_ENV = { development: "dev", staging: "test", production: "live" } as const;

const config = readConfig();
const log = pino({
  level: config.CALLSHEET_LOG,
  base: { program: "control-plane" },
  ...SAFE_LOG,
});
const stop = await start(config, log);

/** Longer takes only who waits for a database that is gone; everything of worth was committed before. */
const SHUTDOWN_MS_MAX = 12_000;
let stopping = false;
function shutDown(why: string): void {
  if (stopping) return;
  stopping = true;
  log.info({ why }, "shutting down");
  setTimeout(() => {
    log.warn({ why }, "the shutdown took too long");
    process.exit(1);
  }, SHUTDOWN_MS_MAX).unref();
  stop().then(
    () => process.exit(0),
    (error: unknown) => {
      log.error({ err: error }, "the shutdown failed");
      process.exit(1);
    },
  );
}
process.on("SIGTERM", () => shutDown("SIGTERM"));
process.on("SIGINT", () => shutDown("SIGINT"));
process.on("disconnect", () => shutDown("the supervisor is gone"));
process.on("message", (message) => message === "stop" && shutDown("the supervisor asked"));
process.send?.({ ready: true });
// Where a cache is asked for (`NODE_COMPILE_CACHE`), a process that is killed leaves it, too.
flushCompileCache();

/** Everything of a replica that lives as long as the process. */
interface Parts {
  readonly metrics: Metrics;
  readonly gate: CallGate;
  readonly database: Database;
  readonly opened: OpenStore;
  readonly pusher: EdgePusher;
  readonly reign: LeaderReign;
  readonly leadership: Leadership;
  readonly sender: EdgeSender;
  readonly recorder: ProgressRecorder;
  readonly hub: RunnerHub;
  /** Null: nobody judges prompts and results. */
  readonly hook: ModerationHook | null;
}

async function start(settings: Config, logger: Logger): Promise<() => Promise<void>> {
  await migrate(settings.CALLSHEET_DATABASE_URL);
  const parts = wire(settings, logger, await openStore(settings));
  const { database, hub, recorder, leadership } = parts;
  const host = { clock: systemClock, log: logger, meter: parts.metrics };
  const webhooks = webhookLoop(settings, host, database.hooks);
  const servers = [
    await listen(mainApp(settings, logger, parts).fetch, settings.CALLSHEET_PORT, settings.CALLSHEET_HOST),
    await listen(operatorApp(settings, logger, parts).fetch, settings.CALLSHEET_ADMIN_PORT, settings.CALLSHEET_HOST),
  ] as const;
  const endSockets = acceptRunners(servers[0], hub, {
    identify: (authorization) => identifyRunner(database.loops, authorization),
    log: logger,
  });
  const pulse = new Pulse(database.loops, host, (pulseMs) => parts.gate.felt(pulseMs));
  pulse.start();
  recorder.start();
  webhooks.start();
  leadership.start();
  logger.info({ port: settings.CALLSHEET_PORT, admin_port: settings.CALLSHEET_ADMIN_PORT }, "control plane ready");

  return async () => {
    // Resign first, so that another replica leads while this one drains.
    await leadership.stop();
    await Promise.all([recorder.stop(), webhooks.stop(), pulse.stop()]);
    endSockets();
    await Promise.all(servers.map(close));
    await database.close();
  };
}

function wire(settings: Config, logger: Logger, opened: OpenStore): Parts {
  const database = connect(settings.CALLSHEET_DATABASE_URL);
  const { loops: sql } = database;
  const metrics = new Metrics();
  const host = { clock: systemClock, log: logger, meter: metrics };
  const { store, urls } = opened;
  const pusher = new EdgePusher(settings.CALLSHEET_EDGE_URL, signingSecretOf(settings), mintRequestId);
  const hook = moderationHookOf(settings, logger);
  const judgeResult = async (result: ResultToJudge) => (await hook?.judgeResult(result)) ?? null;
  const reign: LeaderReign = new LeaderReign(
    { sql, store, urls, limits: LIMITS[settings.CALLSHEET_ENV], judgeResult, ...host },
    () => hub,
    () => sender,
  );
  const sender = new EdgeSender(sql, {
    ...host,
    push: (account, push) => pusher.push(account, push, now()),
    waitingOf: (account) => reign.waitingOf(account),
    explain: (id) => reign.explain(id),
  });
  const recorder = new ProgressRecorder(sql, host, (shown) => sender.show(shown));
  const desk = new RunnerDesk({
    sql,
    store,
    urls,
    now,
    meter: metrics,
    reviews: hook !== null,
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
  const self = { holder: randomUUID(), url: settings.CALLSHEET_PUBLIC_URL };
  const leadership: Leadership = new Leadership(leadOf(sql), self, reign, host);
  metrics.watchDevices(() => hub.states());
  const gate = new CallGate({ monotonicMs: () => systemClock.monotonicMs(), random: Math.random, meter: metrics });
  return { metrics, gate, database, opened, pusher, reign, leadership, sender, recorder, hub, hook };
}

function mainApp(
  settings: Config,
  logger: Logger,
  { metrics, gate, database, opened, reign, leadership, sender, hook }: Parts,
) {
  const leader = new LeaderCall({
    secret: signingSecretOf(settings),
    now,
    mintRequestId,
    leaderUrl: () => leadership.leaderUrl,
  });
  return app({
    sql: database.sql,
    database,
    store: opened.store,
    storeUrls: opened.ownUrls,
    now,
    log: logger,
    timed: metrics.timed,
    gate,
    edgeSecrets: settings.CALLSHEET_EDGE_SECRET,
    randomSeed: () => randomInt(0, 2 ** 32 - 1),
    randomSecret: () => `whsec_${randomBytes(32).toString("base64")}`,
    webhookGuard: webhookGuard(settings),
    judge: hook === null ? null : (prompt) => hook.judgePrompt(prompt),
    outlook: new AdmissionOutlook(database.sql, now),
    explain: async (account, ids) =>
      reign.leads ? reign.explainOwn(account, ids) : await leader.explain(account, ids),
    explainOwn: (account, ids) => reign.explainOwn(account, ids),
    wake: () => reign.wake(),
    wakeSender: () => sender.wake(),
  });
}

function operatorApp(settings: Config, logger: Logger, { metrics, database, hub, pusher, reign }: Parts) {
  return adminApp({
    database: { ...database, sql: database.admin },
    limits: LIMITS[settings.CALLSHEET_ENV],
    termsChanged: () => reign.wake(),
    scraped: () => metrics.scraped(),
    tokens: settings.CALLSHEET_ADMIN_TOKEN,
    keyEnv: KEY_ENV[settings.CALLSHEET_ENV],
    randomBytes,
    runnerStates: () => hub.states(),
    keyRevoked: (account, keySha256) => {
      const push = { items: [{ kind: "key_revoked", key_sha256: keySha256 } as const] };
      pusher.pushSoon(account, push, systemClock).catch((error: unknown) => {
        logger.warn(
          { account, err: error },
          "the edge was not told of a revoked key; its sessions have asked again by now",
        );
      });
    },
  });
}

function moderationHookOf(settings: Config, logger: Logger): ModerationHook | null {
  const { CALLSHEET_MODERATION_URL: url, CALLSHEET_MODERATION_SECRET: secret } = settings;
  if (url === undefined || secret === undefined) return null;
  return new ModerationHook({
    url,
    secret,
    now,
    mintId: () => `mod_${randomUUID()}`,
    failed: (what, error) => logger.warn({ subject: what, err: error }, "the moderation hook gave no verdict"),
  });
}

function signingSecretOf({ CALLSHEET_EDGE_SECRET: [first = ""] }: Config): string {
  return first;
}

function now(): number {
  return systemClock.nowMs();
}

function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  port: number,
  hostname: string,
): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = serve({ fetch, port, hostname }, () => resolve(server)) as Server;
    server.once("error", reject);
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    // A client that never finishes its request does not hold up the drain.
    setTimeout(() => server.closeAllConnections(), 2_000).unref();
  });
}
