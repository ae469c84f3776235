import { beforeEach, expect, test } from "vitest";
import { RunnerRoster } from "#control-plane/loop/runner-roster.ts";

let usable: Set<string>;
let roster: RunnerRoster;
beforeEach(() => {
  const told = new Set<string>();
  usable = told;
  roster = new RunnerRoster((event) => {
    if (event.t === "runner_up") told.add(event.runner.id);
    if (event.t === "runner_down") told.delete(event.runner);
  });
});

function up(...ids: readonly string[]): void {
  for (const id of ids) roster.up({ id, gpu: "toy", devices: [{ id: "0", vramBytes: 1, slots: 1 }] });
}

test("a drained runner is not used, however often it dials, until the drain is taken back", () => {
  up("a", "b");
  roster.rest({ drained: ["a"], quarantined: [] });
  expect([...usable]).toEqual(["b"]);
  roster.down("a");
  up("a");
  expect([...usable]).toEqual(["b"]);
  roster.rest({ drained: [], quarantined: [] });
  expect([...usable].toSorted()).toEqual(["a", "b"]);
});

test("quarantine never takes more than half of the runners that are there", () => {
  up("a", "b", "c", "d");
  roster.rest({ drained: [], quarantined: ["d", "c", "b", "a"] });
  expect([...usable].toSorted()).toEqual(["a", "b"]);
  roster.down("a");
  roster.down("b");
  expect([...usable]).toEqual(["c"]);
  roster.down("c");
  expect([...usable]).toEqual(["d"]);
});

test("a runner that only an earlier leader knew is not used before it dials", () => {
  roster.remember({ id: "a", gpu: "toy", devices: [] });
  expect(usable.size).toBe(0);
});
