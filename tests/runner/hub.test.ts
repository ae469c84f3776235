import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { WebSocket, WebSocketServer } from "ws";
import { RunnerHub } from "#control-plane/socket/runner-hub.ts";
import type { HubHost } from "#control-plane/socket/runner-hub.ts";
import { DeviceId, RunnerId, Sha256Hex, VideoId } from "#protocol/id.ts";
import { ASSIGN_ACK_MS, HEARTBEAT_MS, ToRunner } from "#protocol/runner.ts";
import type { FromRunner, LeaseRef } from "#protocol/runner.ts";
import { HandClock } from "#tests/support/hand-clock.ts";
import { QUIET } from "#tests/support/quiet-host.ts";

const RUNNER = RunnerId.parse("runner-1");
const CREDENTIAL = { runner: RUNNER, secretSha256: Sha256Hex.parse("a".repeat(64)) };
const DEVICE = DeviceId.parse("gpu-0");
const lease = (n: number): LeaseRef => ({ job: VideoId.parse(`video_${String(n).padStart(32, "0")}`), epoch: 1 });

let clock: HandClock;
let hub: RunnerHub;
let server: WebSocketServer;
/** What the hub told its host, as it came. */
let told: string[];
let leaderUrl: string | null;
let trusted: boolean;
/** What Postgres says the runner holds. */
let held: readonly LeaseRef[];

beforeEach(async () => {
  clock = new HandClock();
  const log: string[] = []; // Of this test alone: sockets of the last one may still close.
  told = log;
  leaderUrl = null;
  trusted = true;
  held = [];
  const never = () => Promise.reject(new Error("no runner of this test does that"));
  const host: HubHost = {
    register: async () => undefined,
    trusts: async () => trusted,
    heldBy: async () => held.map((one) => ({ ...one, state: "running" })),
    heartbeat: async (_runner, leases) => {
      if (leases.length > 0) log.push("beat");
      return { renewed: leases, stale: [] };
    },
    lost: async (_runner, leases) => {
      for (const { job } of leases) log.push(`lost ${Number(job.slice(6))}`);
    },
    refused: async ({ job }, reason) => void log.push(`refused ${Number(job.slice(6))} ${reason}`),
    notTaken: async ({ job }) => void log.push(`not taken ${Number(job.slice(6))}`),
    up: () => void log.push("up"),
    down: () => void log.push("down"),
    report: () => undefined,
    uploadUrl: () => "",
    checkpoint: never,
    finished: never,
    failed: never,
    stopped: never,
    stopOverdue: never,
  };
  hub = new RunnerHub(host, () => leaderUrl, { clock, ...QUIET });
  server = new WebSocketServer({ port: 0, host: "127.0.0.1" });
  server.on("connection", (socket) => hub.accept(socket, CREDENTIAL));
  await once(server, "listening");
});
afterEach(() => {
  for (const socket of server.clients) socket.terminate();
  server.close();
});

interface Dialled {
  readonly socket: WebSocket;
  say(frame: FromRunner): void;
  /** The next frame of this kind. */
  hear<Kind extends ToRunner["t"]>(kind: Kind): Promise<Extract<ToRunner, { t: Kind }>>;
}

async function dial(options: WebSocket.ClientOptions = {}): Promise<Dialled> {
  const socket = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`, options);
  const heard: ToRunner[] = [];
  let wake = () => undefined as void;
  socket.on("message", (data: Buffer) => {
    heard.push(ToRunner.parse(JSON.parse(data.toString())));
    wake();
  });
  await once(socket, "open");
  return {
    socket,
    say: (frame) => socket.send(JSON.stringify(frame)),
    async hear(kind) {
      for (;;) {
        const at = heard.findIndex((frame) => frame.t === kind);
        if (at >= 0) return heard.splice(at, 1)[0] as never;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}

const HELLO: FromRunner = {
  t: "hello",
  version: 1,
  runner: RUNNER,
  build: "toy",
  engine: "toy",
  models: ["reference"],
  caps: { checkpoint: "exact", step_progress: true, cancel: "step" },
  devices: [{ id: DEVICE, gpu: "toy", vram_bytes: 1, slots: 1 }],
  leases: [],
};

async function greeted(options?: WebSocket.ClientOptions): Promise<Dialled> {
  const runner = await dial(options);
  runner.say(HELLO);
  await runner.hear("welcome");
  return runner;
}

async function beating(options?: WebSocket.ClientOptions): Promise<Dialled> {
  const runner = await greeted(options);
  runner.say({ t: "heartbeat", beat: 0, leases: [] });
  await runner.hear("renewed");
  await until(() => told.includes("up"));
  return runner;
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise(setImmediate);
}

function assign(n: number): void {
  const spec = {
    model: "reference",
    prompt: "",
    negative_prompt: "",
    width: 16,
    height: 16,
    fps: 1,
    frames: 1,
    steps: 1,
    seed: 0,
    stop_after: null,
    reference: null,
  };
  hub.assign(RUNNER, { lease: lease(n), devices: [DEVICE], spec, resume: null });
}

test("a replica that does not lead sends a runner to the one that does", async () => {
  leaderUrl = "http://127.0.0.1:4321";
  const runner = await dial();
  expect(await once(runner.socket, "close")).toEqual([4_200, Buffer.from("http://127.0.0.1:4321")]);
});

test("a runner is given work only once it beats, because only then it has heard its welcome", async () => {
  hub.open();
  const runner = await greeted();
  expect(told).toEqual([]);
  runner.say({ t: "heartbeat", beat: 0, leases: [] });
  await until(() => told.length > 0);
  expect(told).toEqual(["up"]);
});

test("a runner that hears but does not take its work rests until it answers a ping; the second time it is cut", async () => {
  hub.open();
  const runner = await beating();
  assign(1);
  await runner.hear("assign");
  await clock.pass(ASSIGN_ACK_MS);
  await until(() => told.length === 4);
  expect(told).toEqual(["up", "down", "not taken 1", "up"]);

  const closed = once(runner.socket, "close");
  assign(2);
  await clock.pass(ASSIGN_ACK_MS);
  await closed;
  await until(() => told.length === 6);
  expect(told.slice(4)).toEqual(["not taken 2", "down"]);
});

test("a deaf runner, whose beats come through, gets no more work after the first that it does not answer", async () => {
  hub.open();
  const runner = await beating({ autoPong: false });
  assign(1);
  await clock.pass(ASSIGN_ACK_MS);
  for (let beat = 0; beat < 3; beat++) {
    runner.say({ t: "heartbeat", beat: 0, leases: [] });
    await runner.hear("renewed");
  }
  expect(told).toEqual(["up", "down", "not taken 1"]);
});

test("a runner that was cut for not taking its work gets none for half a minute after it dialled again, then twice as long", async () => {
  hub.open();
  const first = await beating();
  for (const n of [1, 2]) {
    assign(n);
    await first.hear("assign");
    await clock.pass(ASSIGN_ACK_MS);
    if (n === 1) await until(() => told.at(-1) === "up");
  }
  await once(first.socket, "close");
  await until(() => told.at(-1) === "down");
  for (const restMs of [30_000, 60_000]) {
    const before = told.length;
    const again = await greeted();
    again.say({ t: "heartbeat", beat: 0, leases: [] });
    await again.hear("renewed");
    for (let restedMs = 0; restedMs < restMs - HEARTBEAT_MS; restedMs += HEARTBEAT_MS) {
      await clock.pass(HEARTBEAT_MS);
      again.say({ t: "heartbeat", beat: 0, leases: [] });
      await again.hear("renewed");
    }
    await clock.pass(HEARTBEAT_MS - 1);
    expect(told.slice(before)).toEqual([]);
    await clock.pass(1);
    expect(told.slice(before)).toEqual(["up"]);
    const closed = once(again.socket, "close");
    assign(3);
    await clock.pass(ASSIGN_ACK_MS);
    await closed;
    await until(() => told.at(-1) === "down");
  }
});

test("a runner whose beats stay out gets no more work until it beats again: it may be frozen, and its lease ends by itself", async () => {
  hub.open();
  const runner = await beating();
  await clock.pass(1.5 * HEARTBEAT_MS - 1);
  expect(told).toEqual(["up"]);
  await clock.pass(1);
  expect(told).toEqual(["up", "down"]);
  runner.say({ t: "heartbeat", beat: 1, leases: [] });
  await runner.hear("renewed");
  expect(told).toEqual(["up", "down", "up"]);
  expect(runner.socket.readyState).toBe(WebSocket.OPEN);
});

test("an answer clears a runner of all doubt", async () => {
  hub.open();
  const runner = await beating();
  for (let n = 1; n < 8; n += 2) {
    assign(n);
    await clock.pass(ASSIGN_ACK_MS);
    await until(() => told.at(-1) === "up");
    assign(n + 1);
    runner.say({ t: "accepted", lease: lease(n + 1) });
    runner.say({ t: "heartbeat", beat: 0, leases: [] });
    await runner.hear("renewed");
  }
  expect(runner.socket.readyState).toBe(WebSocket.OPEN);
});

test("a runner that dials beside its socket keeps its work over the new one, and is heard over the old one no more", async () => {
  hub.open();
  const old = await beating();
  held = [lease(1)];
  const replaced = once(old.socket, "close");
  const next = await dial();
  next.say({ ...HELLO, leases: [{ ...lease(1), devices: [DEVICE] }] });
  await next.hear("welcome");
  old.say({ t: "heartbeat", beat: 9, leases: [lease(1)] });
  expect((await replaced)[0]).toBe(4_009);
  next.say({ t: "heartbeat", beat: 0, leases: [] });
  await next.hear("renewed");
  // One by the welcome itself; the old socket's beat was not taken, its close took nothing away.
  expect(told.filter((what) => what === "beat").length).toBe(1);
  expect(told).not.toContain("down");
  assign(2);
  expect((await next.hear("assign")).lease).toEqual(lease(2));
});

test("work that was sent over a mute socket was not taken; only what the runner had acknowledged and lost died with it", async () => {
  hub.open();
  const old = await beating();
  assign(1);
  assign(2);
  old.say({ t: "accepted", lease: lease(1) });
  old.say({ t: "heartbeat", beat: 0, leases: [] });
  await old.hear("renewed");
  held = [lease(1), lease(2)];
  await greeted();
  expect(told.filter((what) => /^(lost|not taken)/.test(what))).toEqual(["not taken 2", "lost 1"]);
});

test("a frame about a lease that the runner was never given is answered with stale, and goes nowhere", async () => {
  hub.open();
  const runner = await beating();
  // Every frame of this host throws, so one that went through would cut the socket.
  runner.say({ t: "failed", lease: lease(7), error: { class: "user", code: "no", detail: "" } });
  expect(await runner.hear("stale")).toEqual({ t: "stale", lease: lease(7) });
  runner.say({ t: "upload", lease: lease(7), kind: "artifact", sha256: CREDENTIAL.secretSha256, bytes: 1 });
  expect(await runner.hear("stale")).toEqual({ t: "stale", lease: lease(7) });
  assign(8);
  runner.say({ t: "upload", lease: lease(8), kind: "artifact", sha256: CREDENTIAL.secretSha256, bytes: 1 });
  expect((await runner.hear("upload_url")).lease).toEqual(lease(8));
});

test("a runner whose secret is revoked between its dial and its welcome is not kept", async () => {
  hub.open();
  trusted = false;
  const runner = await dial();
  runner.say(HELLO);
  expect(await once(runner.socket, "close")).toEqual([1_008, Buffer.from("bad hello")]);
  expect(hub.states().size).toBe(0);
});

test("a runner whose secret counts no more is cut off without grace, one whose secret counts stays", async () => {
  hub.open();
  const runner = await beating();
  hub.trust(new Map([[RUNNER, CREDENTIAL.secretSha256]]));
  runner.say({ t: "heartbeat", beat: 1, leases: [] });
  await runner.hear("renewed");
  const closed = once(runner.socket, "close");
  held = [lease(1)];
  hub.trust(new Map([[RUNNER, Sha256Hex.parse("b".repeat(64))]]));
  // No time has to pass: its work is given up now.
  await until(() => told.includes("lost 1"));
  expect(await closed).toEqual([4_001, Buffer.from("the runner's secret counts no more")]);
  expect(hub.states().size).toBe(0);
});

test("how a runner's devices are is known while it is connected, of its own devices only", async () => {
  hub.open();
  const runner = await beating();
  const reading = { utilization: 97, memory_used_bytes: 1, temperature_c: 61, power_w: 512.3, ecc_errors: 0 };
  const strange = { ...reading, id: DeviceId.parse("gpu-9") };
  runner.say({ t: "telemetry", devices: [{ ...reading, id: DEVICE }, strange] });
  await until(() => hub.states().get(RUNNER)?.telemetry.length === 1);
  expect(hub.states().get(RUNNER)).toEqual({ state: "connected", telemetry: [{ ...reading, id: DEVICE }] });
});
