import { once } from "node:events";
import type OpenAI from "openai";
import { afterAll, beforeAll, expect, test } from "vitest";
import { followVideo } from "#cli/follow-video.ts";
import { submitVideo } from "#cli/video-client.ts";
import { AdminKey } from "#protocol/admin.ts";
import { SessionTicket } from "#protocol/live-session.ts";
import { signal } from "#tests/chaos/processes.ts";
import { LiveSession } from "#tests/support/live-session.ts";
import { Product } from "#tests/support/product.ts";

let product: Product;
beforeAll(async () => {
  product = await Product.start();
});
afterAll(() => product.stop());

const TINY = { prompt: "waves at night", size: "320x192", seconds: "1" };
const create = (client: OpenAI, more: object = {}, options: object = {}) =>
  client.videos.create({ ...TINY, ...more } as unknown as OpenAI.VideoCreateParams, options);

test("a browser's WebSocket opens with a ticket and follows a video to its end", async () => {
  const { apiKey } = await product.account("pro");
  const answer = await fetch(`${product.dev.edge_url}/v1/sessions`, {
    method: "POST",
    headers: { authorization: `Bearer ${apiKey}` },
  });
  const { ticket } = SessionTicket.parse(await answer.json());
  // Node's own client is the one of browsers: it can set no header, and insists on a subprotocol that it offered.
  const url = `${product.dev.edge_url.replace(/^http/, "ws")}/v1/videos/events`;
  const socket = new WebSocket(url, ["callsheet.v1", `callsheet.ticket.${ticket}`]);
  const types: string[] = [];
  const ended = Promise.withResolvers<void>();
  socket.addEventListener("message", ({ data }) => {
    const { type } = JSON.parse(String(data)) as { type: string };
    types.push(type);
    if (type === "video.completed") ended.resolve();
  });
  await once(socket, "open");
  expect(socket.protocol).toBe("callsheet.v1");
  await create(product.client(apiKey));
  await ended.promise;
  expect(types.slice(0, 3)).toEqual(["hello", "snapshot", "caught_up"]);
  socket.close();
});

test("a stream of server-sent events ends with its video", async () => {
  const { apiKey } = await product.account("pro");
  const { id } = await create(product.client(apiKey), { prompt: "!idle=20 waves", steps: 20 });
  const answer = await fetch(`${product.dev.edge_url}/v1/videos/${id}/events?starting_after=0`, {
    headers: { authorization: `Bearer ${apiKey}`, accept: "text/event-stream" },
  });
  const told = [...(await answer.text()).matchAll(/^event: (.*)$/gm)].map(([, type]) => type);
  expect(told.slice(0, 3)).toEqual(["hello", "snapshot", "video.queued"]);
  expect(told).toContain("video.progress");
  expect(told.at(-1)).toBe("video.completed");
});

test("the unmodified SDK can ask for a video and be answered with the finished one", async () => {
  const { apiKey } = await product.account("pro");
  const video = await create(product.client(apiKey), {}, { headers: { Prefer: "wait=30" } });
  expect([video.status, video.progress]).toEqual(["completed", 100]);
});

test("a revoked key's socket and stream are cut, and its ticket is worth nothing", async () => {
  const { id, apiKey } = await product.account("pro");
  const second = AdminKey.parse(await product.admin("POST", `/accounts/${id}/keys`));
  const key = second.api_key ?? "";
  const headers = { authorization: `Bearer ${key}`, accept: "text/event-stream" };
  const minted = await fetch(`${product.dev.edge_url}/v1/sessions`, { method: "POST", headers });
  const { ticket } = SessionTicket.parse(await minted.json());
  const [revoked, other] = [
    await LiveSession.open(product.dev.edge_url, key),
    await LiveSession.open(product.dev.edge_url, apiKey),
  ];
  const stream = await fetch(`${product.dev.edge_url}/v1/videos/events`, { headers });
  const text = stream.text();
  const fromMs = performance.now();
  await product.admin("DELETE", `/keys/${second.id}`);
  await text;
  const streamMs = performance.now() - fromMs;
  expect(await revoked.closed).toBe(4001);
  console.info(
    `the stream ended after ${Math.round(streamMs)} ms, the socket after ${Math.round(performance.now() - fromMs)}`,
  );
  const url = `${product.dev.edge_url.replace(/^http/, "ws")}/v1/videos/events`;
  const socket = new WebSocket(url, ["callsheet.v1", `callsheet.ticket.${ticket}`]);
  await once(socket, "error");
  expect(await other.close()).toBe(1_000);
});

test("our own client follows a video over a killed edge", async () => {
  const { apiKey } = await product.account("pro");
  const api = { edgeUrl: product.dev.edge_url, apiKey };
  const submitted = await submitVideo(api, { ...TINY, prompt: "!idle=100 waves", steps: "40" });
  const seen: number[] = [];
  let isKilled = false;
  const { edge } = await product.pids();
  const video = await followVideo({
    api,
    submitted,
    signal: new AbortController().signal,
    draw({ progress }) {
      seen.push(progress);
      if (progress > 5 && !isKilled) {
        isKilled = true;
        signal(edge, "SIGKILL");
      }
    },
  });
  expect([isKilled, video.status]).toEqual([true, "completed"]);
  expect(seen).toEqual(seen.toSorted((a, b) => a - b));
});
