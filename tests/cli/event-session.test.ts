import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { WebSocket } from "ws";
import { WebSocketServer } from "ws";
import { afterEach, beforeEach, expect, test } from "vitest";
import { EventSession } from "#cli/event-session.ts";
import { type SessionFrame, SessionFrame as Frame } from "#protocol/live-session.ts";

/** The service's end: what was dialled, and sockets to speak through. It refuses as often as it is told to. */
class Service {
  readonly dialled: URL[] = [];
  readonly refusals: number[] = [];
  readonly #server = createServer();
  readonly #sockets = new WebSocketServer({ noServer: true });
  readonly #waiting: WebSocket[] = [];
  #came: () => void = () => undefined;

  async start(): Promise<string> {
    this.#server.on("upgrade", (request, socket, head) => {
      this.dialled.push(new URL(request.url ?? "", "http://service"));
      const status = this.refusals.shift();
      if (status !== undefined) return socket.end(`HTTP/1.1 ${status} No\r\ncontent-length: 0\r\n\r\n`);
      this.#sockets.handleUpgrade(request, socket, head, (webSocket) => {
        this.#waiting.push(webSocket);
        this.#came();
      });
      return undefined;
    });
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async next(): Promise<WebSocket> {
    while (this.#waiting.length === 0) await new Promise<void>((resolve) => (this.#came = resolve));
    const socket = this.#waiting.shift();
    if (socket === undefined) throw new Error("one has come");
    return socket;
  }

  stop(): void {
    for (const socket of this.#sockets.clients) socket.terminate();
    this.#server.closeAllConnections();
    this.#server.close();
  }
}

let service: Service;
let session: EventSession;
let heard: SessionFrame[];
let refused: string[];
beforeEach(async () => {
  service = new Service();
  heard = [];
  refused = [];
  const edgeUrl = await service.start();
  session = new EventSession(
    { edgeUrl, apiKey: "key" },
    { heard: (frame) => heard.push(frame), refused: (why) => refused.push(why) },
    { withinMs: 1_000, random: () => 0.01 },
  );
});
afterEach(() => {
  session.close();
  service.stop();
});

const hello = (id: string, last: number) => ({
  type: "hello",
  session_id: id,
  last_sequence_number: last,
  replay_window: 10,
});
const event = (number: number) =>
  Frame.parse({
    type: "credits.low_balance",
    id: `evt_${String(number).padStart(32, "0")}`,
    object: "event",
    created_at: 1,
    timestamp: "2026-11-29T00:00:00Z",
    sequence_number: number,
    data: { available: "1", threshold: "25" },
  });

function say(socket: WebSocket, ...frames: readonly object[]): void {
  for (const frame of frames) socket.send(JSON.stringify(frame));
}

const query = (index: number) => Object.fromEntries(service.dialled[index]?.searchParams ?? []);

test("a client that was cut comes back with its cursor, in its own session's place", async () => {
  const first = await service.next();
  expect(query(0)).toEqual({});
  say(first, hello("sess_1", 7), { type: "caught_up", sequence_number: 7 }, event(8));
  first.close(1_012);
  const second = await service.next();
  expect(query(1)).toEqual({ starting_after: "8", replaces: "sess_1" });
  say(second, hello("sess_2", 8), { type: "resync", from: 30, reason: "cursor_too_old" });
  second.terminate();
  await service.next();
  expect(query(2)).toEqual({ starting_after: "30", replaces: "sess_2" });
  expect(heard.map(({ type }) => type)).toEqual(["hello", "caught_up", "credits.low_balance", "hello", "resync"]);
});

test.each([429, 503])("a handshake that is refused with %i is tried again", async (status) => {
  const first = await service.next();
  service.refusals.push(status, status);
  first.terminate();
  await service.next();
  expect(service.dialled).toHaveLength(4);
  expect(refused).toEqual([]);
});

test("a handshake that is refused for good is not", async () => {
  const first = await service.next();
  service.refusals.push(401);
  first.terminate();
  await expect.poll(() => refused).toEqual(["the session was refused with 401"]);
  expect(session.isOpen).toBe(false);
});

test.each([4001, 4003, 4009])("a client that is told %i stays away", async (code) => {
  const socket = await service.next();
  socket.close(code);
  await expect.poll(() => refused).toEqual([`the session was closed with ${code}`]);
  expect(service.dialled).toHaveLength(1);
});

test.each([4101, 4200, 4201])("a client that is told %i comes back", async (code) => {
  const socket = await service.next();
  socket.close(code);
  await service.next();
  expect(service.dialled).toHaveLength(2);
});
