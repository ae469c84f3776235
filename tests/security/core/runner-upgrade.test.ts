/** What a stranger may do at the runners' door: knock, in any way, and be sent away. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { Server } from "node:http";
import { connect } from "node:net";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { acceptRunners } from "#control-plane/socket/runner-upgrade.ts";
import { RunnerHub } from "#control-plane/socket/runner-hub.ts";
import { hashOfKey } from "#protocol/api-key.ts";
import { RunnerId } from "#protocol/id.ts";
import { HandClock } from "#tests/support/hand-clock.ts";
import { QUIET } from "#tests/support/quiet-host.ts";

const SECRET = `csr_${"0123456789abcdef".repeat(4)}`;
/** Knows one runner by its bearer token, and no other way. */
const identify = async (authorization: string | undefined) =>
  authorization === `Bearer ${SECRET}`
    ? { runner: RunnerId.parse("runner-1"), secretSha256: await hashOfKey(SECRET) }
    : null;
let server: Server;
let end: () => void;

beforeAll(async () => {
  server = createServer((_request, response) => response.end());
  // Nobody gets past the door, so nothing behind it is ever asked.
  const hub = new RunnerHub({} as never, () => null, { clock: new HandClock(), ...QUIET });
  end = acceptRunners(server, hub, { identify, log: QUIET.log });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
});
afterAll(() => {
  end();
  server.closeAllConnections();
  server.close();
});

/** The first line of the answer to these bytes. */
async function knock(head: string, { reset = false } = {}): Promise<string> {
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  let answer = "";
  socket.on("error", () => undefined);
  socket.on("data", (data) => (answer += data.toString("latin1")));
  await once(socket, "connect");
  socket.write(head);
  if (reset) setImmediate(() => socket.resetAndDestroy());
  await once(socket, "close");
  return answer.split("\r\n", 1)[0] ?? "";
}

const upgrade = (path: string, headers = "") =>
  `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n${headers}\r\n`;

test.each(["//:", "//[", "http://[", "/runner/v1/", "/runner/v2", "/%ff", "*", "//runner/v1", "/runner/v1%2f"])(
  "an upgrade of %s is answered 404, also where that is no URL",
  async (path) => expect(await knock(upgrade(path))).toBe("HTTP/1.1 404 Not Found"),
);

test.each([
  ["no secret", ""],
  ["another secret", `Authorization: Bearer ${SECRET.replace("f", "e")}\r\n`],
  ["the secret under another scheme", `Authorization: Basic ${SECRET}\r\n`],
])("%s is answered 401 before any upgrade", async (_what, header) => {
  expect(await knock(upgrade("/runner/v1", header))).toBe("HTTP/1.1 401 Unauthorized");
});

test("the secret is not taken from the URL", async () => {
  expect(await knock(upgrade(`/runner/v1?token=${SECRET}&authorization=Bearer%20${SECRET}`))).toBe(
    "HTTP/1.1 401 Unauthorized",
  );
});

test("a peer that resets the connection while it is refused ends nothing but itself", async () => {
  await Promise.all(Array.from({ length: 200 }, () => knock(upgrade("/nowhere"), { reset: true })));
  expect(await knock(upgrade("/nowhere"))).toBe("HTTP/1.1 404 Not Found");
});
