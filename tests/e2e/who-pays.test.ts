/**
 * The table "Who pays when …" of docs/credits.md, row by row, through the HTTP API: real edge, control plane and runners, and
 * a moderation hook.
 *
 * Each account holds exactly what its video costs, so the grant that pays is the one that ends. Stories that need the only
 * device busy, or a runner killed, have a phase of their own; the others run side by side.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { HookServer } from "#tests/support/hook-server.ts";
import { LiveSession } from "#tests/support/live-session.ts";
import { Payer } from "#tests/support/payer.ts";
import type { Outcome } from "#tests/support/payer.ts";
import { Product, until } from "#tests/support/product.ts";

/** Long enough that the video has reserved it, short enough to wait for. */
const GRANT_MS = 1_500;
/** The same, where a dozen stories begin at once. */
const CROWDED_GRANT_MS = 4_000;
const RUNNERS = ["runner-1", "runner-2", "runner-3"];

const QUICK = { prompt: "a spark", size: "320x192", seconds: "1", steps: 5, seed: 3 } as const;
/** Seconds that burn nothing. */
const LONG = { ...QUICK, prompt: "!idle=100 a mountain lake", steps: 45 } as const;
/** Runs for longer than a grant lives. */
const SEVEN_SECONDS = { ...QUICK, prompt: "!idle=1400 a lighthouse" } as const;
/** A second a step, so that there is time to act between two. */
const FIVE_STEPS = { ...QUICK, prompt: "!idle=1000 a lighthouse" } as const;
const CRASHING = { ...QUICK, prompt: "!crash a lighthouse" } as const;
/** The scale's part of one denoise step of five is 12, and it starts at 2. */
const ONE_STEP_DONE = 14;
const TWO_STEPS_DONE = 26;

const FORBIDDEN = { ...QUICK, prompt: "a forbidden lighthouse" } as const;

const page = readFileSync(new URL("../../docs/credits.md", import.meta.url), "utf8");
const [section = ""] = (page.split("## Who pays when …")[1] ?? "").split("\n## ");
const rows = [...section.matchAll(/^\| (?!what happens|-)(.+?) +\| (.+?) +\| (.+?) +\|$/gm)].map(
  ([, what = "", pays = "", rest = ""]) => ({ what, pays, rest }),
);

let product: Product;
let hook: HookServer;
/** `letNextBegin`: what follows of this story disturbs no other one. */
type Story = (payer: Payer, letNextBegin: () => void) => Promise<unknown>;
interface Phase {
  readonly drained: readonly string[];
  /** It begins when all before are over. */
  readonly alone?: true;
  readonly stories: Readonly<Record<string, Story>>;
}

async function cancelAtTwoOfFive(payer: Payer): Promise<void> {
  const { progress } = await payer.when("one step is done", (video) => video.progress >= ONE_STEP_DONE);
  expect(progress).toBe(ONE_STEP_DONE);
  // It stops when the step under way is done.
  await payer.cancel();
  expect((await payer.over()).scheduler.state).toBe("cancelled");
}

async function voidGrant(payer: Payer): Promise<void> {
  await product.admin("POST", `/grants/${payer.grant}/void`, { reason: "test" });
  await payer.grantHas("voided");
}

async function engineFails(payer: Payer): Promise<void> {
  const { error, scheduler } = await payer.over();
  expect([error?.code, error?.fault, scheduler.attempts]).toEqual(["engine_failed", "platform", 3]);
}

/** The runner of the first attempt after `after` that runs; which one that was. An attempt that nobody took is passed over. */
async function killRunnerOf(payer: Payer, after: number): Promise<number> {
  const { scheduler } = await payer.when(
    "it runs",
    ({ scheduler: { state, attempts } }) => state === "running" && attempts > after,
  );
  const [row] = await product.sql`select runner_id from job where id = ${payer.video}`;
  const pid = (await product.pids()).runners[RUNNERS.indexOf(String(row?.["runner_id"]))] ?? 0;
  process.kill(pid, "SIGKILL");
  return scheduler.attempts;
}

/** A paying video of another account takes its device. */
async function pushAside(payer: Payer, times: number): Promise<void> {
  await payer.when("it runs", ({ scheduler }) => scheduler.state === "running");
  const quick = await Payer.of(product, "pro");
  await quick.create(QUICK);
  await payer.when("it was preempted", ({ scheduler }) => scheduler.preemptions === times);
  expect((await quick.over()).status).toBe("completed");
}

const PHASES: readonly Phase[] = [
  {
    drained: ["runner-2", "runner-3"],
    stories: {
      async "it is preempted twice"(payer) {
        await payer.create(LONG);
        await pushAside(payer, 1);
        await pushAside(payer, 2);
        expect(await payer.over()).toMatchObject({ status: "completed", scheduler: { attempts: 3 } });
      },
      async "it is cancelled while it is queued"(payer) {
        await until("the device is busy", 10_000, isBusy);
        await payer.create(QUICK);
        expect(await payer.cancel()).toMatchObject({ scheduler: { state: "cancelled", attempts: 0 } });
      },
      async "its grant ends while it is queued"(payer) {
        await until("the device is busy", 10_000, isBusy);
        await payer.create(QUICK, GRANT_MS);
        await payer.grantHas("expired");
        expect((await payer.over()).status).toBe("completed");
      },
    },
  },
  {
    drained: ["runner-2", "runner-3"],
    stories: {
      async "its runner is killed once"(payer, letNextBegin) {
        await payer.create({ ...LONG, steps: 20 });
        await killRunnerOf(payer, 0);
        letNextBegin();
        expect(await payer.over()).toMatchObject({ status: "completed", scheduler: { attempts: 2 } });
      },
    },
  },
  {
    drained: [],
    stories: {
      async "the video is completed"(payer) {
        await payer.create(QUICK);
        expect((await payer.over()).status).toBe("completed");
      },
      async "the engine fails on it"(payer) {
        await payer.create(CRASHING);
        await engineFails(payer);
      },
      async "the moderation hook withholds its result"(payer) {
        await payer.create(FORBIDDEN);
        const { error, scheduler } = await payer.over();
        expect([error?.code, error?.fault, scheduler.attempts]).toEqual(["content_policy_violation", "user", 1]);
      },
      async "it is cancelled when 40 % of its steps are done"(payer) {
        await payer.create(FIVE_STEPS);
        await cancelAtTwoOfFive(payer);
      },
      async "a deadline that it asked for passes at 40 %"(payer) {
        // A step takes longer than the leader needs to see a deadline.
        await payer.create({ ...QUICK, prompt: "!idle=7000 a lighthouse", deadline_seconds: 3_600 });
        await payer.when("two steps are done", (video) => video.progress >= TWO_STEPS_DONE);
        await product.sql`update job set deadline_at = now() where id = ${payer.video}`;
        const { error, scheduler } = await payer.over();
        expect([error?.code, error?.fault, scheduler.attempts]).toEqual(["deadline_exceeded", "user", 1]);
      },
      async "its grant ends while it runs"(payer) {
        await payer.create(SEVEN_SECONDS, CROWDED_GRANT_MS);
        await payer.when("it runs", ({ scheduler }) => scheduler.state === "running");
        await payer.grantHas("expired");
        expect((await payer.over()).status).toBe("completed");
      },
      async "its grant ends, then it is cancelled at 40 %"(payer) {
        await payer.create({ ...FIVE_STEPS, prompt: "!idle=4500 a pier" }, CROWDED_GRANT_MS);
        await payer.grantHas("expired");
        await cancelAtTwoOfFive(payer);
      },
      async "its grant ends, then the engine fails on it"(payer) {
        await payer.create({ ...CRASHING, prompt: "!idle=1500 !crash a pier" }, CROWDED_GRANT_MS);
        await payer.grantHas("expired");
        await engineFails(payer);
        const session = await LiveSession.open(product.dev.edge_url, payer.key, "?starting_after=0");
        const told = await session.until("the make-good", ({ type }) => type === "credits.make_good");
        expect(told.data).toMatchObject({ video_id: payer.video, grant_id: `make_good:${payer.video}` });
        await session.close();
      },
      async "its grant is voided while it runs"(payer) {
        await payer.create(SEVEN_SECONDS);
        await payer.when("it runs", ({ scheduler }) => scheduler.state === "running");
        await voidGrant(payer);
        expect((await payer.over()).status).toBe("completed");
      },
      async "its grant is voided, then it is cancelled at 40 %"(payer) {
        await payer.create(FIVE_STEPS);
        await voidGrant(payer);
        await cancelAtTwoOfFive(payer);
      },
    },
  },
  {
    drained: [],
    alone: true,
    stories: {
      async "its runner is killed three times"(payer) {
        await payer.create(LONG);
        for (let deaths = 0, attempt = 0; deaths < 3; deaths++) attempt = await killRunnerOf(payer, attempt);
        expect((await payer.over()).error).toMatchObject({ code: "runner_crashed", fault: "platform" });
      },
    },
  },
];

/** What became of each story; begun in order, and awaited by the test of its row. */
const told = new Map(
  PHASES.flatMap(({ stories }) => Object.keys(stories)).map((what) => [what, Promise.withResolvers<Outcome>()]),
);

beforeAll(async () => {
  hook = await HookServer.open();
  // It lets every prompt pass and looks at what became of it.
  hook.answer = ({ type, data }) => {
    const forbidden = type === "moderation.result" && String(data.prompt).includes("forbidden");
    return { json: forbidden ? { allowed: false, policy: "1", reason: "test" } : { allowed: true, policy: "1" } };
  };
  product = await Product.start({
    CALLSHEET_RUNNERS: "3",
    CALLSHEET_RUNNER_DEVICES: "1x8gb,4x8gb,4x8gb",
    CALLSHEET_MODERATION_URL: hook.url,
    CALLSHEET_MODERATION_SECRET: hook.secret,
  });
  void playAll();
});
afterAll(async () => {
  await product.stop();
  await hook.close();
});

async function playAll(): Promise<void> {
  const begun: Promise<unknown>[] = [];
  for (const { drained, alone, stories } of PHASES) {
    if (alone === true) await Promise.all(begun);
    for (const id of RUNNERS) await product.admin("PATCH", `/runners/${id}`, { drained: drained.includes(id) });
    const { promise: mayGoOn, resolve } = Promise.withResolvers<void>();
    const over = Promise.all(Object.entries(stories).map(([what, story]) => play(what, story, resolve)));
    begun.push(over);
    await Promise.race([mayGoOn, over]);
  }
}

async function play(what: string, story: Story, letNextBegin: () => void): Promise<void> {
  try {
    const payer = await Payer.of(product, "free");
    await story(payer, letNextBegin);
    told.get(what)?.resolve(await payer.outcome());
  } catch (error) {
    told.get(what)?.promise.catch(() => undefined);
    told.get(what)?.reject(error);
  }
}

async function isBusy(): Promise<boolean> {
  return (await product.sql`select 1 from job where state = 'running'`).length > 0;
}

test("every row of the table is a story, and every story a row", () => {
  expect(rows.map(({ what }) => what).toSorted()).toEqual([...told.keys()].toSorted());
});

test.each(rows)("$what: the account pays $pays, the rest $rest", async ({ what, pays, rest }) => {
  expect(await told.get(what)?.promise).toEqual({ pays, rest });
});
