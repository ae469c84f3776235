/** Metadata services as the clouds document them, on loopback. */
import { once } from "node:events";
import { createServer, type IncomingMessage } from "node:http";
import { expect, onTestFinished, test } from "vitest";
import { type SpotCloud, watchSpot } from "#gpu-runner/spot-notice.ts";

interface Said {
  readonly status: number;
  readonly text: string;
}

/** Answers with `quiet` the first times, with `notice` from then on; what it is asked must be what the cloud demands. */
async function serve(answer: (request: IncomingMessage, asked: number) => Said): Promise<string> {
  let asked = 0;
  const server = createServer((request, response) => {
    if (request.method === "GET") asked++;
    const { status, text } = answer(request, asked);
    response.writeHead(status).end(text);
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  const address = server.address();
  return typeof address === "object" ? `http://127.0.0.1:${address?.port}` : "";
}

const FORBIDDEN: Said = { status: 401, text: "" };
const SERVICES: Readonly<Record<SpotCloud, (request: IncomingMessage, asked: number) => Said>> = {
  aws({ method, url, headers }, asked) {
    if (method === "PUT" && url === "/latest/api/token") return { status: 200, text: "a-token" };
    if (headers["x-aws-ec2-metadata-token"] !== "a-token") return FORBIDDEN;
    if (asked < 3) return { status: 404, text: "" };
    return { status: 200, text: '{"action":"terminate","time":"2026-11-29T20:00:00Z"}' };
  },
  gcp({ headers }, asked) {
    if (headers["metadata-flavor"] !== "Google") return FORBIDDEN;
    return { status: 200, text: asked < 3 ? "FALSE" : "TRUE" };
  },
  azure({ headers, url }, asked) {
    if (headers["metadata"] !== "true" || url?.includes("api-version=") !== true) return FORBIDDEN;
    const events = asked < 3 ? [{ EventType: "Freeze" }] : [{ EventType: "Freeze" }, { EventType: "Preempt" }];
    return { status: 200, text: JSON.stringify({ DocumentIncarnation: asked, Events: events }) };
  },
};

test.each(["aws", "gcp", "azure"] as const)(
  "a notice of %s is heard once, and nothing before it is one",
  async (cloud) => {
    let asked = 0;
    const url = await serve((request, times) => SERVICES[cloud](request, (asked = times)));
    const taken: number[] = [];
    const { signal } = new AbortController();
    await watchSpot({ cloud, url, pollMs: 1, signal, taken: () => taken.push(asked) });
    expect(taken).toEqual([3]);
  },
);

const CLOUDS: readonly SpotCloud[] = ["aws", "gcp", "azure"];
test.each([
  ["that is not there", { status: 404, text: "" }],
  ["that fails", { status: 500, text: "TRUE" }],
  ["that talks nonsense", { status: 200, text: "<html>" }],
])("a metadata service %s is no notice", async (_what, answer) => {
  for (const cloud of CLOUDS) {
    const stop = new AbortController();
    let asked = 0;
    const url = await serve((_request, times) => {
      asked = times;
      if (asked > 3) stop.abort();
      return answer;
    });
    await watchSpot({ cloud, url, pollMs: 1, signal: stop.signal, taken: () => expect.unreachable() });
    expect(asked).toBeGreaterThan(3);
  }
});
