import { afterAll, beforeAll, expect, test } from "vitest";
import { callAdmin } from "#tests/support/leader.ts";
import { MODEL } from "#tests/support/put-model.ts";
import { Studio } from "#tests/support/studio.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

const TIER = {
  weight: 10,
  max_running: 10,
  max_queued: 1_000,
  creates_per_minute: 600,
  creates_burst: 300,
  start_bound_s: 86_400,
} as const;
const SHAPE = { k: 1, vram_bytes: 1_000, wall_ms: 900, encode_ms: 100, decode_ms: 200 } as const;
const CLASS = { resolution: "192p", seconds_max: 2, price: "0.5", shapes: [SHAPE] } as const;
const LIMITS = {
  reserve_after_ms: 600_000,
  slack_max: 1,
  full_backlog_ms: 1_000_000,
  preempt_after_ms: 60_000,
  victim_ran_min_ms: 120_000,
  victim_left_min_ms: 60_000,
  victim_left_min_share: 0.2,
  preemptions_max: 2,
  waste_share: 0.03,
  retries_per_minute: 10,
  skip_ms: 1_000_000,
  passed_max_ms: 1_200_000,
  dry_run_every_ms: 1_000,
  queued_gpu_seconds_max: 86_400_000,
} as const;

const call = (method: string, path: string, body?: unknown) => callAdmin(studio, method, path, body);
const mail = async () => (await studio.sql`delete from inbox returning job_id`).length;

test("a tier is read as it was put, new ones too, and what is left out has its default", async () => {
  const put = await call("PUT", "/tiers/studio", { ...TIER, share_min: 3 });
  const rates = { reads_per_minute: 6_000, reads_burst: 200 };
  const defaults = {
    ...rates,
    share_max: 1_000_000,
    tier_max_running: 1_000_000,
    keep_video_hours: null,
    keep_draft_hours: 24,
  };
  const stored = { name: "studio", ...TIER, ...defaults, share_min: 3 };
  expect(put).toEqual({ status: 200, body: stored });
  expect((await call("GET", "/tiers/studio")).body).toEqual(stored);
  const { body } = await call("GET", "/tiers");
  expect((body as { data: { name: string }[] }).data.map(({ name }) => name)).toEqual([
    "free",
    "plus",
    "pro",
    "studio",
  ]);
  expect(await mail()).toBe(1);
});

test("an account changes its tier and its name, one at a time or both", async () => {
  const account = await studio.account("free");
  expect((await call("PATCH", `/accounts/${account}`, { tier: "pro" })).body).toMatchObject({
    tier: "pro",
    name: "test",
  });
  const both = { tier: "plus", name: "Lumière" };
  expect((await call("PATCH", `/accounts/${account}`, both)).body).toMatchObject({ id: account, ...both });
  expect(await mail()).toBe(2);
});

test("a class is charged what its cheapest shape takes, unless the operator says otherwise", async () => {
  const shapes = [SHAPE, { k: 2, vram_bytes: 500, wall_ms: 440 }, { k: 4, vram_bytes: 500, wall_ms: 260 }];
  const put = await call("PUT", "/models/reference/classes/192p/2s", { ...CLASS, shapes });
  expect(put.body).toMatchObject({ name: "192p/2s", price: "0.5", gpu_ms: 880, retired: false });
  const again = await call("PUT", "/models/reference/classes/192p/2s", { ...CLASS, gpu_ms: 1_000 });
  expect(again.body).toMatchObject({ gpu_ms: 1_000, shapes: [SHAPE] });
  const gone = await call("DELETE", "/models/reference/classes/192p/2s");
  expect(gone.body).toMatchObject({ name: "192p/2s", retired: true });
  const { body } = await call("GET", "/models");
  const [model] = (body as { data: { classes: { name: string; retired: boolean }[] }[] }).data;
  expect(model?.classes.find(({ name }) => name === "192p/2s")?.retired).toBe(true);
  expect(model?.classes.find(({ name }) => name === "720p/4s")).toMatchObject({
    shapes: [{ k: 1, vram_bytes: 2 ** 30, wall_ms: 21_000, encode_ms: 2_100, decode_ms: 4_200 }],
  });
  expect(await mail()).toBe(3);
});

test("a model's time to load, and whether it may be preempted, are the operator's", async () => {
  const patched = await call("PATCH", "/models/reference", { load_ms: 1_500, resume: "none" });
  expect(patched.body).toMatchObject({ name: "reference", load_ms: 1_500, resume: "none" });
  expect((await call("PATCH", "/models/reference", { load_ms: 0 })).body).toMatchObject({ load_ms: 0, resume: "none" });
  await call("PATCH", "/models/reference", { resume: "exact" });
  expect(await mail()).toBe(3);
});

test("limits are the environment's until the operator sets them, and again once they are taken back", async () => {
  expect((await call("GET", "/scheduler/limits")).body).toEqual({ limits: LIMITS, overrides: {} });
  const patched = await call("PATCH", "/scheduler/limits", { preempt_after_ms: 5, waste_share: 0.1 });
  const overrides = { preempt_after_ms: 5, waste_share: 0.1 };
  expect(patched.body).toEqual({ limits: { ...LIMITS, ...overrides }, overrides });
  const back = await call("PATCH", "/scheduler/limits", { preempt_after_ms: null, slack_max: 0 });
  expect(back.body).toEqual({
    limits: { ...LIMITS, waste_share: 0.1, slack_max: 0 },
    overrides: { waste_share: 0.1, slack_max: 0 },
  });
  await call("PATCH", "/scheduler/limits", { waste_share: null, slack_max: null });
  expect(await mail()).toBe(3);
});

test("a model is there as it was put, takes classes, and keeps them when it is put again", async () => {
  const put = await call("PUT", "/models/Wan2.2-T2V", { ...MODEL, resume: "exact" });
  const stored = {
    name: "Wan2.2-T2V",
    engine: "diffusers",
    steps_default: 40,
    load_ms: 0,
    resume: "exact",
    classes: [],
  };
  expect(put).toEqual({ status: 200, body: stored });
  await call("PUT", "/models/Wan2.2-T2V/classes/480p/5s", { ...CLASS, resolution: "480p", seconds_max: 5 });
  const again = await call("PUT", "/models/Wan2.2-T2V", { ...MODEL, load_ms: 60_000 });
  expect(again.body).toMatchObject({ load_ms: 60_000, resume: "none", classes: [{ name: "480p/5s", retired: false }] });
  expect(await mail()).toBe(3);
});

const everything = () => studio.sql`
  select (select json_agg(t order by name) from tier t) as tiers, (select json_agg(m) from model m) as models,
    (select json_agg(c order by name) from model_class c) as classes, (select json_agg(l) from scheduler_limit l) as limits,
    (select json_agg(a order by id) from account a) as accounts, (select count(*) from inbox) as mail`;

test.each<[string, string, string, unknown, number, string | null]>([
  ["a tier without a weight", "PUT", "/tiers/pro", { ...TIER, weight: undefined }, 400, "weight"],
  ["a weight of 0", "PUT", "/tiers/pro", { ...TIER, weight: 0 }, 400, "weight"],
  ["half a running video", "PUT", "/tiers/pro", { ...TIER, max_running: 0.5 }, 400, "max_running"],
  ["a least share above the greatest", "PUT", "/tiers/pro", { ...TIER, share_min: 5, share_max: 4 }, 400, "share_max"],
  ["a field no tier has", "PUT", "/tiers/pro", { ...TIER, colour: "red" }, 400, "colour"],
  ["a name no tier may have", "PUT", "/tiers/Pro%20Max", TIER, 400, "name"],
  ["an unknown tier", "GET", "/tiers/gold", undefined, 404, null],
  ["an account of an unknown tier", "PATCH", "/accounts/:account", { tier: "gold" }, 400, "tier"],
  ["an account that is none", "PATCH", "/accounts/acct_0000000000000000", { tier: "pro" }, 404, null],
  ["an account id that is none", "PATCH", "/accounts/me", { tier: "pro" }, 404, null],
  [
    "a model whose default is none of its sizes",
    "PUT",
    "/models/m",
    { ...MODEL, default_size: "1x1" },
    400,
    "default_size",
  ],
  ["a model with a size that is none", "PUT", "/models/m", { ...MODEL, sizes: [{ size: "big" }] }, 400, "sizes.0.size"],
  ["a usual length beyond the longest", "PUT", "/models/m", { ...MODEL, seconds_default: 6 }, 400, "seconds_default"],
  ["more usual steps than allowed", "PUT", "/models/m", { ...MODEL, steps_max: 39 }, 400, "steps_default"],
  ["a name no model may have", "PUT", "/models/a%20b", MODEL, 400, "name"],
  ["a class of an unknown model", "PUT", "/models/sora-2/classes/192p/2s", CLASS, 404, null],
  ["a class for nothing", "PUT", "/models/reference/classes/x", { ...CLASS, price: "0" }, 400, "price"],
  ["a class that pays", "PUT", "/models/reference/classes/x", { ...CLASS, price: "-1" }, 400, "price"],
  ["a class without shapes", "PUT", "/models/reference/classes/x", { ...CLASS, shapes: [] }, 400, "shapes"],
  ["two shapes of one size", "PUT", "/models/reference/classes/x", { ...CLASS, shapes: [SHAPE, SHAPE] }, 400, "shapes"],
  [
    "a shape whose parts take longer than the whole",
    "PUT",
    "/models/reference/classes/x",
    { ...CLASS, shapes: [{ ...SHAPE, wall_ms: 299 }] },
    400,
    "shapes.0.wall_ms",
  ],
  [
    "a second class for one bucket",
    "PUT",
    "/models/reference/classes/x",
    { ...CLASS, seconds_max: 4 },
    400,
    "seconds_max",
  ],
  ["an unknown class", "DELETE", "/models/reference/classes/9p/9s", undefined, 404, null],
  ["an unknown way to resume", "PATCH", "/models/reference", { resume: "maybe" }, 400, "resume"],
  ["an unknown runner", "PATCH", "/runners/nobody", { drained: true }, 404, null],
  ["a drain that is no yes or no", "PATCH", "/runners/nobody", { drained: "yes" }, 400, "drained"],
  ["a limit that there is not", "PATCH", "/scheduler/limits", { patience_ms: 1 }, 400, "patience_ms"],
  ["a share above one", "PATCH", "/scheduler/limits", { slack_max: 0, waste_share: 1.1 }, 400, "waste_share"],
  ["no JSON", "PATCH", "/scheduler/limits", undefined, 400, null],
])("%s is refused, the field is named, and nothing is stored", async (_what, method, path, body, status, param) => {
  const account = await studio.account("free");
  const before = await everything();
  const answer = await call(method, path.replace(":account", account), body);
  expect(answer).toMatchObject({ status, body: { error: { param } } });
  expect(await everything()).toEqual(before);
});
