/** The line over real sockets: how soon it is back, and where it goes. */
import { createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { describe, expect, onTestFinished, test } from "vitest";
import { type Line, openLine } from "#gpu-runner/socket.ts";
import { DeviceId, RunnerId } from "#protocol/id.ts";
import { REDIAL_GRACE_MS, type ToRunner } from "#protocol/runner.ts";
import { TcpProxy } from "#tests/chaos/tcp-proxy.ts";
import { Desk } from "./desk.ts";
import { SECRET } from "./joined.ts";

const WORST = () => 0.999_999;
const CLOSE_NOT_LEADER = 4_200;
const REASON_BYTES_MAX = 123;

describe("a line that breaks is back within the grace, at the worst jitter", () => {
  test.each([
    ["the leader is first and the other refuses", ["leader", "dead"]],
    ["the other refuses and the leader is last", ["dead", "leader"]],
    ["the other takes the call and says nothing", ["mute", "leader"]],
    ["two refuse and one is mute", ["dead", "mute", "dead", "leader"]],
    ["the other does not lead", ["follower", "leader"]],
    ["the leader is the only one", ["leader"]],
  ] as const)("when %s", async (_case, kinds) => {
    const { leader, urls } = await addresses(kinds);
    dial(urls);
    await leader.frame("hello");
    for (let cut = 1; cut <= 3; cut++) expect(await backAfterCut(leader)).toBeLessThan(REDIAL_GRACE_MS);
  });

  test.each([1, 2, 3])("when the leader drops the first %i calls too, and the other is mute", async (drops) => {
    const { leader, urls } = await addresses(["mute", "leader"]);
    dial(urls);
    await leader.frame("hello");
    leader.dropDials = drops;
    expect(await backAfterCut(leader)).toBeLessThan(REDIAL_GRACE_MS);
  });

  test("when a new leader is found in the end, and the old one is mute for good", async () => {
    const { leader: old, desks, urls } = await addresses(["leader", "mute", "dead", "leader"]);
    const next = desks[1] as Desk;
    next.closeWith = { code: CLOSE_NOT_LEADER, reason: "" };
    dial(urls);
    await old.frame("hello");
    next.closeWith = null;
    const cutMs = performance.now();
    const port = Number(new URL(old.url).port);
    await old.close();
    await aMute(port);
    await next.frame("hello");
    expect(performance.now() - cutMs).toBeLessThan(REDIAL_GRACE_MS);
  });
});

describe("a line that goes mute", () => {
  test("is left open while it may heal, and goes on over the same socket when it does", async () => {
    const { leader, wire, line } = await behindWire();
    wire.set("to_client_held");
    // It dials beside what it has: a socket of its own that waits for an answer.
    await expect.poll(() => leader.dialledAtMs.length, { timeout: 10_000 }).toBe(2);
    wire.set("open");
    leader.say({ t: "renewed", beat: 7, leases: [], lease_ms: 1 });
    await expect.poll(() => line.heard.at(-1)?.t, { timeout: 5_000 }).toBe("renewed");
    expect([leader.heard.filter(({ t }) => t === "hello").length, line.closed]).toEqual([1, 0]);
  });

  test("moves to another way that works, and lets go of the mute socket only then", async () => {
    const { leader, wire, line } = await behindWire((desk) => [desk.url]);
    wire.set("to_client_held");
    await expect.poll(() => leader.heard.filter(({ t }) => t === "hello").length, { timeout: 10_000 }).toBe(2);
    await leader.until(() => leader.socketsOpen === 1);
    expect(line.closed).toBe(0);
    leader.say({ t: "renewed", beat: 7, leases: [], lease_ms: 1 });
    await expect.poll(() => line.heard.at(-1)?.t, { timeout: 5_000 }).toBe("renewed");
  });
});

describe("a replica that does not lead", () => {
  test("sends the runner to the leader of the list, past all that come before", async () => {
    const [follower, wrong, leader] = [await aDesk(), await aDesk(), await aDesk()];
    follower.closeWith = { code: CLOSE_NOT_LEADER, reason: leader.url };
    dial([follower.url, wrong.url, leader.url]);
    await leader.frame("hello");
    expect(wrong.dialledAtMs).toEqual([]);
  });

  test("cannot send the runner, or its token, to an address that is not in the list", async () => {
    const [follower, stranger, leader] = [await aDesk(), await aDesk(), await aDesk()];
    follower.closeWith = { code: CLOSE_NOT_LEADER, reason: stranger.url };
    dial([follower.url, leader.url]);
    await leader.frame("hello");
    expect(stranger.dialledAtMs).toEqual([]);
  });

  test("may say the longest reason that a close frame holds", async () => {
    const [follower, leader] = [await aDesk(), await aDesk()];
    follower.closeWith = { code: CLOSE_NOT_LEADER, reason: `http://${"x".repeat(REASON_BYTES_MAX - 7)}` };
    dial([follower.url, leader.url]);
    expect((await leader.frame("hello")).runner).toBe("runner-1");
  });

  test("and another that point at each other are followed a few times, then asked with pauses", async () => {
    const [one, other] = [await aDesk(), await aDesk()];
    one.closeWith = { code: CLOSE_NOT_LEADER, reason: other.url };
    other.closeWith = { code: CLOSE_NOT_LEADER, reason: one.url };
    dial([one.url, other.url]);
    const dials = () => [...one.dialledAtMs, ...other.dialledAtMs].toSorted((a, b) => a - b);
    await expect.poll(() => dials().length, { timeout: 10_000 }).toBeGreaterThanOrEqual(12);
    const tenMs = (dials()[11] as number) - (dials()[0] as number);
    // Three redirects and the first pass at once; four passes with pauses of 100, 200, 400 and 800 ms.
    expect(tenMs).toBeGreaterThan(500);
  });
});

test("the leader's answer is heard on one line only, however many dials are on their way", async () => {
  const { leader, urls } = await addresses(["mute", "leader", "leader"]);
  const line = dial(urls);
  await leader.frame("hello");
  expect(line.opened).toBe(1);
});

interface Dialled {
  opened: number;
  closed: number;
  readonly heard: ToRunner[];
}

/** The leader behind a wire that can be held, which comes first in the list, and more ways to it. */
async function behindWire(more: (leader: Desk) => readonly string[] = () => []) {
  const leader = await aDesk();
  const wire = await TcpProxy.to(Number(new URL(leader.url).port));
  onTestFinished(() => wire.close());
  const line = dial([`http://127.0.0.1:${wire.port}`, ...more(leader)]);
  await expect.poll(() => line.heard.length).toBe(1);
  return { leader, wire, line };
}

/** A line that says hello whenever it opens, as a runner does. */
function dial(urls: readonly string[]): Dialled {
  const seen: Dialled = { opened: 0, closed: 0, heard: [] };
  const line: Line = openLine(
    urls,
    SECRET,
    {
      opened() {
        seen.opened++;
        line.send({
          t: "hello",
          version: 1,
          runner: RunnerId.parse("runner-1"),
          build: "b",
          engine: "reference",
          models: ["reference"],
          caps: { checkpoint: "exact", step_progress: true, cancel: "step" },
          devices: [{ id: DeviceId.parse("cpu-0"), gpu: "CPU", vram_bytes: 1, slots: 1 }],
          leases: [],
        });
      },
      closed: () => void seen.closed++,
      heard: (frame) => void seen.heard.push(frame),
    },
    pino({ level: "silent" }),
    WORST,
  );
  onTestFinished(() => line.close());
  return seen;
}

/** Milliseconds from the cut to the next hello. */
async function backAfterCut(leader: Desk): Promise<number> {
  leader.heard.length = 0;
  const cutMs = performance.now();
  leader.hangUp();
  await leader.frame("hello");
  return performance.now() - cutMs;
}

type Kind = "leader" | "follower" | "dead" | "mute";

interface Addresses {
  readonly leader: Desk;
  readonly desks: readonly Desk[];
  readonly urls: readonly string[];
}

async function addresses(kinds: readonly Kind[]): Promise<Addresses> {
  const desks: Desk[] = [];
  const urls: string[] = [];
  for (const kind of kinds) {
    if (kind === "mute") urls.push(await aMute());
    else if (kind === "dead") urls.push(await aDeadEnd());
    else {
      const desk = await aDesk();
      if (kind === "leader") desks.push(desk);
      else desk.closeWith = { code: CLOSE_NOT_LEADER, reason: "this replica does not lead" };
      urls.push(desk.url);
    }
  }
  const [leader] = desks;
  if (leader === undefined) throw new Error("a leader is part of every case");
  return { leader, desks, urls };
}

async function aDesk(): Promise<Desk> {
  const desk = new Desk();
  await desk.open();
  onTestFinished(() => desk.close());
  return desk;
}

/** Takes the connection and never says a word, as a frozen host does. */
async function aMute(port = 0): Promise<string> {
  const held = new Set<Socket>();
  const server: Server = createServer((socket) => held.add(socket.on("error", () => undefined)));
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  onTestFinished(async () => {
    for (const socket of held) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** An address where nobody listens. */
async function aDeadEnd(): Promise<string> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await new Promise((resolve) => server.close(resolve));
  return url;
}
