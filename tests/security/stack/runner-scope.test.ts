/** A runner reaches what it leases and nothing else: over its socket, and over the store's URLs. */
import { createHash } from "node:crypto";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { STORE_URL_MS, StoreUrls } from "#control-plane/store/store-url.ts";
import { checksumOf, storeKeyOf } from "#control-plane/store/artifact-store.ts";
import { Sha256Hex } from "#protocol/id.ts";
import type { LeaseRef } from "#protocol/runner.ts";
import { Video } from "#protocol/video.ts";
import { CHECKSUM_HEADER } from "#protocol/runner.ts";
import { controlPlaneOf, until } from "#tests/support/product.ts";
import type { Product } from "#tests/support/product.ts";
import { HostileRunner, joinAs } from "../attack/hostile-runner.ts";
import { callerOf, joinStack, json, secretsOf } from "../stack.ts";
import type { Call } from "../stack.ts";

let product: Product;
let call: Call;
let url: string;
let secret: string;
let storeUrls: StoreUrls;
let hostile: HostileRunner;

beforeAll(async () => {
  product = joinStack();
  call = callerOf(product, (await product.account("pro")).apiKey);
  url = await controlPlaneOf(product);
  secret = await joinAs(product, url, "hostile");
  storeUrls = new StoreUrls(url, secretsOf(product).store_secret);
});
beforeEach(async () => {
  hostile = await HostileRunner.dial(url, secret);
  await hostile.hear("welcome");
});
afterEach(async () => {
  hostile.hangUp();
  // Its grace must not run into the next test's hello.
  await until("the hostile runner is gone", 10_000, async () => (await stateOf("hostile")) !== "connected");
});
afterAll(() => product.stop());

async function stateOf(runner: string): Promise<unknown> {
  const { data } = (await product.admin("GET", "/runners")) as { data: { id: string; state: string }[] };
  return data.find(({ id }) => id === runner)?.state;
}

const create = async (prompt: string, fields: object = {}) =>
  Video.parse(json(await call("POST", "/v1/videos", { prompt, size: "320x192", seconds: 1, steps: 4, ...fields }))).id;

const hashOf = (bytes: string | Buffer) => Sha256Hex.parse(createHash("sha256").update(bytes).digest("hex"));
const HASH = hashOf("not yours");

async function leaseOf(id: string): Promise<LeaseRef & { readonly state: string }> {
  const [row] = await product.sql<
    (LeaseRef & { state: string })[]
  >`select id as job, epoch, state from job where id = ${id}`;
  if (row === undefined) throw new Error(`no job ${id}`);
  return row;
}

const running = (id: string) =>
  until("the honest runner works on it", 20_000, async () => {
    const lease = await leaseOf(id);
    return lease.state === "running" && { job: lease.job, epoch: lease.epoch };
  });

/** Every frame about a job, as one who knows its id and epoch would send it. */
const ABOUT = {
  accepted: {},
  refused: { reason: "busy" },
  stage: { stage: "upload" },
  step: { stage: "denoise", done: 4, of: 4, ms: 1 },
  upload: { kind: "artifact", sha256: HASH, bytes: 9 },
  checkpoint: { step: 4, sha256: HASH, bytes: 9, exactness: "exact" },
  finished: { artifact: { sha256: HASH, bytes: 9, latents_sha256: null, frames_sha256: null } },
  failed: { error: { class: "user", code: "invalid_input_reference", detail: "mine now" } },
  stopped: { why: "cancel", step: 4 },
} as const;

test("of a job that another runner works on, no frame is taken, whatever it says and however it names the lease", async () => {
  const id = await create("!idle=400 an honest film");
  const lease = await running(id);
  const before = await leaseOf(id);
  const leases = [
    lease,
    { ...lease, epoch: lease.epoch + 1 },
    { ...lease, epoch: 1 },
    { job: `video_${"0".repeat(32)}`, epoch: 1 },
  ];
  let said = 0;
  for (const named of leases) {
    for (const [t, rest] of Object.entries(ABOUT)) {
      hostile.say({ t, lease: named, ...rest });
      said += 1;
      // That it hears us is all that this says, and nothing is done upon it.
      if (t === "accepted") continue;
      await hostile.hear("stale", ({ lease: told }) => told.job === named.job && told.epoch === named.epoch);
    }
  }
  expect(said).toBe(36);
  expect((await hostile.heartbeat(leases)).leases).toEqual([]);
  expect(hostile.heard.filter(({ t }) => t === "upload_url" || t === "recorded")).toEqual([]);
  expect(await leaseOf(id)).toEqual(before);
  const done = await until("the honest film is done", 30_000, async () => {
    const video = Video.parse(json(await call("GET", `/v1/videos/${id}`)));
    return video.status === "completed" && video;
  });
  expect(done.scheduler.attempts).toBe(1);
  const [row] = await product.sql`select epoch, artifact_sha256, error_code from job where id = ${id}`;
  expect(row).toMatchObject({ epoch: lease.epoch, error_code: null });
  expect(row?.["artifact_sha256"]).not.toBe(HASH);
});

/** The hostile runner is given work of its own: the honest one takes none meanwhile. */
async function withOwnJob(act: (lease: LeaseRef, id: string) => Promise<void>): Promise<void> {
  await product.admin("PATCH", "/runners/runner-1", { drained: true });
  try {
    hostile.hangUp();
    await until("the first socket is gone", 10_000, async () => (await stateOf("hostile")) !== "connected");
    hostile = await HostileRunner.dial(url, secret, { models: ["reference"] });
    await hostile.hear("welcome");
    await hostile.heartbeat();
    const id = await create("a film for a hostile runner");
    const { lease } = await hostile.hear("assign", (frame) => frame.lease.job === id);
    hostile.say({ t: "accepted", lease });
    await hostile.heartbeat([lease]);
    await act(lease, id);
    await call("DELETE", `/v1/videos/${id}`);
    hostile.say({ t: "stopped", lease, why: "cancel", step: 0 });
    await hostile.heartbeat();
  } finally {
    await product.admin("PATCH", "/runners/runner-1", { drained: false });
  }
}

async function put(to: string, body: string | Buffer, sha256: string = hashOf(body), method = "PUT"): Promise<number> {
  const answer = await fetch(to, {
    method,
    headers: { [CHECKSUM_HEADER]: checksumOf(sha256) },
    ...(method === "PUT" ? { body } : {}),
  });
  await answer.arrayBuffer();
  return answer.status;
}

test("an upload URL is good for the announced bytes of that attempt and for nothing else", async () => {
  await withOwnJob(async (lease) => {
    const body = "a film, or so it says";
    const [sha256, bytes] = [hashOf(body), body.length];
    hostile.say({ t: "upload", lease, kind: "artifact", sha256, bytes });
    const { url: granted } = await hostile.hear("upload_url");
    const elsewhere = (change: (to: URL) => void) => {
      const to = new URL(granted);
      change(to);
      return to.href;
    };
    const otherKey = storeKeyOf({ ...lease, epoch: lease.epoch + 1 }, "artifact", sha256);
    const otherJob = storeKeyOf({ ...lease, job: `video_${"0".repeat(32)}` }, "artifact", sha256);
    const now = Date.now();
    const refused: Readonly<Record<string, number>> = {
      "other bytes, their own hash": await put(granted, "another film, of bytes", hashOf("another film, of bytes")),
      "other bytes of that size, their own hash": await put(granted, "a film, or so it saYs"),
      "other bytes under the announced hash": await put(granted, "a film, or so it saYs", sha256),
      "more bytes": await put(granted, `${body} and more`, sha256),
      "fewer bytes": await put(granted, body.slice(1), sha256),
      "no bytes": await put(granted, "", sha256),
      "the next epoch's place": await put(
        elsewhere((to) => (to.pathname = `/store/v1/${otherKey}`)),
        body,
      ),
      "another job's place": await put(
        elsewhere((to) => (to.pathname = `/store/v1/${otherJob}`)),
        body,
      ),
      "a reference's place": await put(
        elsewhere((to) => (to.pathname = `/store/v1/references/${sha256}`)),
        body,
      ),
      "out of the store": await put(
        elsewhere((to) => (to.pathname = "/store/v1/..%2f..%2fetc/x")),
        body,
      ),
      "another size in the URL": await put(
        elsewhere((to) => to.searchParams.set("bytes", "1000000")),
        body,
      ),
      "no size in the URL": await put(
        elsewhere((to) => to.searchParams.delete("bytes")),
        body,
      ),
      "a later end": await put(
        elsewhere((to) => to.searchParams.set("expires", String(now + 10 * STORE_URL_MS))),
        body,
      ),
      "another signature": await put(
        elsewhere((to) => to.searchParams.set("signature", "0".repeat(64))),
        body,
      ),
      "no signature": await put(
        elsewhere((to) => to.searchParams.delete("signature")),
        body,
      ),
      "reading with it": await put(granted, "", sha256, "GET"),
      "deleting with it": await put(granted, "", sha256, "DELETE"),
      "an URL that ended": await put(
        storeUrls.sign(
          { method: "PUT", key: storeKeyOf(lease, "artifact", sha256), bytes },
          now - STORE_URL_MS - 1_000,
        ),
        body,
      ),
      "writing with a URL for reading": await put(
        storeUrls.sign({ method: "GET", key: storeKeyOf(lease, "artifact", sha256) }, now),
        body,
      ),
    };
    for (const [what, status] of Object.entries(refused)) expect([403, 404, 400, 413, 422], what).toContain(status);
    expect(await put(granted, body)).toBe(200);
  });
});

test("a claim of a gibibyte costs nothing, and a lie about what was stored ends the attempt, not the job", async () => {
  await withOwnJob(async (lease, id) => {
    for (const bytes of [1024 ** 3, 2 ** 50]) {
      hostile.say({ t: "upload", lease, kind: "artifact", sha256: HASH, bytes });
      const { url: granted } = await hostile.hear("upload_url");
      expect(await put(granted, "not yours at all")).toBe(422);
    }
    hostile.say({
      t: "finished",
      lease,
      artifact: { sha256: HASH, bytes: 1024 ** 3, latents_sha256: null, frames_sha256: null },
    });
    await hostile.hear("stale");
    const video = Video.parse(json(await call("GET", `/v1/videos/${id}`)));
    expect(video).toMatchObject({ status: "in_progress", error: null });
  });
});

test.each<[string, unknown]>([
  ["no JSON", "{"],
  ["no object", "[]"],
  ["a frame of no kind", { t: "nothing" }],
  [
    "NaN as text",
    '{"t":"step","lease":{"job":"video_00000000000000000000000000000000","epoch":1},"stage":"denoise","done":NaN,"of":1,"ms":1}',
  ],
  [
    "progress below nothing",
    { t: "step", lease: { job: `video_${"0".repeat(32)}`, epoch: 1 }, stage: "denoise", done: -1, of: 1, ms: 1 },
  ],
  [
    "steps of nothing",
    { t: "step", lease: { job: `video_${"0".repeat(32)}`, epoch: 1 }, stage: "denoise", done: 0, of: 0, ms: 1 },
  ],
  [
    "an epoch beyond its column",
    { t: "heartbeat", beat: 1, leases: [{ job: `video_${"0".repeat(32)}`, epoch: 2 ** 31 }] },
  ],
  [
    "an id with a path in it",
    { t: "upload", lease: { job: "../../etc", epoch: 1 }, kind: "artifact", sha256: HASH, bytes: 1 },
  ],
  [
    "more leases than a runner has",
    {
      t: "heartbeat",
      beat: 1,
      leases: Array.from({ length: 1_025 }, () => ({ job: `video_${"0".repeat(32)}`, epoch: 1 })),
    },
  ],
  [
    "a text of 200 kB in an error",
    {
      t: "failed",
      lease: { job: `video_${"0".repeat(32)}`, epoch: 1 },
      error: { class: "user", code: "x", detail: "x".repeat(200_000) },
    },
  ],
  ["a second hello", { t: "hello" }],
  ["a binary frame", Buffer.from([0, 1, 2])],
  ["a frame of 300 KiB", "x".repeat(300 * 1024)],
])("%s costs a runner its socket and nobody else anything", async (_what, frame) => {
  hostile.say(frame);
  await hostile.closed;
  expect((await call("GET", "/v1/videos?limit=1")).status).toBe(200);
  expect(await stateOf("runner-1")).toBe("connected");
});
