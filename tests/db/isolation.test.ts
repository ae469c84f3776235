import { afterEach, beforeEach, expect, test } from "vitest";
import { cancelVideo } from "#control-plane/usecase/change-video.ts";
import { loseRunner } from "#control-plane/usecase/lose-runner.ts";
import { RunnerId } from "#protocol/id.ts";
import type { Dispatched } from "#control-plane/usecase/dispatch.ts";
import { Leader } from "#tests/support/leader.ts";
import { Studio } from "#tests/support/studio.ts";

let studio: Studio;
let leader: Leader;
beforeEach(async () => {
  studio = await Studio.open();
  leader = await Leader.begin(studio);
});
afterEach(async () => {
  await leader.stop();
  await studio.close();
});

async function submitted(count: number): Promise<void> {
  const account = await studio.account("pro", { amount: "100" });
  for (let n = 0; n < count; n++) await studio.submitted(account);
}

/** The runner dies with everything it runs, and dials again. */
async function dies(name: string, aboard: readonly Dispatched[]): Promise<void> {
  const [{ epoch }] = await studio.sql<[{ epoch: number }]>`select epoch from leader`;
  leader.loop.runnerDown(name);
  const leases = aboard.map(({ job }) => ({ job: job.id, epoch: job.epoch }));
  await loseRunner(studio.sql, epoch, RunnerId.parse(name), leases);
  await leader.runner(name, 2);
  leader.nowMs += 60_000; // Past every backoff.
  leader.loop.wake();
}

test("of jobs that were aboard together each runs alone next; nothing else is put beside it, and only a lone death counts", async () => {
  await submitted(2);
  await leader.runner("a", 2);
  const aboard = [await leader.dispatch(0), await leader.dispatch(1)];
  await dies("a", aboard);

  const first = await leader.dispatch(2);
  expect(first.job).toMatchObject({ devices: ["a:0", "a:1"], runnerDeaths: 0, runAlone: true });
  await submitted(2);
  await dies("a", [first]);
  expect(await studio.job(first.job.id)).toMatchObject({ state: "retrying", runnerDeaths: 1 });

  // The other suspect comes before or after it, alone either way; the newcomers share the runner only when both are over.
  const order: Dispatched[] = [];
  for (let nth = 3; nth < 5; nth++) {
    const alone = await leader.dispatch(nth);
    order.push(alone);
    expect(alone.job.devices).toEqual(["a:0", "a:1"]);
    await leader.finish(alone);
  }
  expect(order.map(({ job }) => job.id).toSorted()).toEqual(aboard.map(({ job }) => job.id).toSorted());
  for (const nth of [5, 6]) expect((await leader.dispatch(nth)).job.devices).toHaveLength(1);
});

test("a suspect that is cancelled while its runner empties leaves the runner to others", async () => {
  await submitted(3);
  await leader.runner("a", 2);
  const aboard = [await leader.dispatch(0), await leader.dispatch(1)];
  const [one, other] = aboard;
  if (one === undefined || other === undefined) throw new Error("two were dispatched");
  await dies("a", aboard);
  const alone = await leader.dispatch(2);
  const waits = alone.job.id === one.job.id ? other : one;
  expect((await cancelVideo(studio.sql, waits.job.accountId, waits.job.id))?.job.state).toBe("cancelled");
  await leader.finish(alone);
  await leader.until(() => leader.sent.length > 3);
  const next = leader.sent.slice(3).map(({ job }) => job.id);
  expect(next).not.toContain(waits.job.id);
});
