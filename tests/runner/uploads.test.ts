/** Which files of an attempt are sent, in which order, and what becomes of the others. */
import { describe, expect, test } from "vitest";
import type { EngineReport } from "#gpu-runner/core/attempt.ts";
import { Sha256Hex } from "#protocol/id.ts";
import { aSpec } from "./reference-job.ts";
import { ARTIFACT, CHECKPOINT, DEVICE, kinds, LEASE, OTHER_SHA, sent, SHA, Stage, working } from "./stage.ts";

const SHA_OF_VIDEO = Sha256Hex.parse("3".repeat(64));

describe("files that are not uploaded", () => {
  const at = (step: number): EngineReport => ({ ...CHECKPOINT, step, path: `/c${step}` }) as EngineReport;

  test("a checkpoint that waits behind another is replaced by a newer one, and its file goes", () => {
    const stage = working();
    stage.engine(at(1));
    expect(stage.engine(at(2))).toEqual([]);
    expect(stage.engine(at(3))).toEqual([{ t: "discard", path: "/c2" }]);
  });

  test("a full store costs the checkpoint and not the attempt", () => {
    const stage = working();
    stage.engine(at(1));
    stage.hear({ t: "upload_url", lease: LEASE, kind: "checkpoint", sha256: SHA, url: "u" });
    const failure = { code: "storage_full", detail: "PUT was answered 507" } as const;
    expect(stage.feed({ t: "uploaded", lease: LEASE, sha256: SHA, failure })).toEqual([{ t: "discard", path: "/c1" }]);
    expect(kinds(stage.engine(at(2)))).toEqual(["upload"]);
  });

  test("a full store ends the attempt when the video is due: no other URL is asked for", () => {
    const stage = working();
    stage.engine({ t: "artifact", path: "/v", artifact: ARTIFACT });
    stage.hear({ t: "upload_url", lease: LEASE, kind: "artifact", sha256: OTHER_SHA, url: "u" });
    const failure = { code: "storage_full", detail: "PUT was answered 507" } as const;
    expect(sent(stage.feed({ t: "uploaded", lease: LEASE, sha256: OTHER_SHA, failure }))).toEqual([
      { t: "failed", lease: LEASE, error: { class: "retryable", ...failure } },
    ]);
  });
});

describe("a draft", () => {
  const NEWER = { ...CHECKPOINT, step: 4, path: "/d", sha256: OTHER_SHA } as EngineReport;
  const VIDEO = { t: "artifact", path: "/v", artifact: { ...ARTIFACT, sha256: SHA_OF_VIDEO } } as const;
  const url = (kind: "checkpoint" | "artifact", sha256: Sha256Hex) =>
    ({ t: "upload_url", lease: LEASE, kind, sha256, url: "http://store/x" }) as const;
  const recorded = { t: "recorded", lease: LEASE, what: "checkpoint" } as const;

  function drafting(): Stage {
    const stage = new Stage();
    stage.connect();
    stage.assign(LEASE, [DEVICE], aSpec({ stop_after: 4 }));
    return stage;
  }

  test("hands over its last checkpoint before its video: with the video recorded the lease is over", () => {
    const stage = drafting();
    stage.engine(CHECKPOINT);
    stage.engine(NEWER);
    expect(kinds(stage.engine(VIDEO))).toEqual(["stage", "upload"]);
    // The older one, wherever it was, is of no use any more.
    expect(stage.hear(url("checkpoint", SHA))).toEqual([]);
    expect(kinds(stage.hear(url("checkpoint", OTHER_SHA)))).toEqual(["*upload"]);
    expect(kinds(stage.feed({ t: "uploaded", lease: LEASE, sha256: OTHER_SHA, failure: null }))).toEqual([
      "checkpoint",
    ]);
    expect(sent(stage.hear({ ...recorded, sha256: OTHER_SHA }))).toMatchObject([{ t: "upload", kind: "artifact" }]);
    stage.hear(url("artifact", SHA_OF_VIDEO));
    expect(kinds(stage.feed({ t: "uploaded", lease: LEASE, sha256: SHA_OF_VIDEO, failure: null }))).toEqual([
      "finished",
    ]);
  });

  test("whose checkpoint does not get into the store is a video all the same", () => {
    const stage = drafting();
    stage.engine(NEWER);
    stage.engine(VIDEO);
    stage.hear(url("checkpoint", OTHER_SHA));
    const failure = { code: "storage_full", detail: "507" } as const;
    const after = stage.feed({ t: "uploaded", lease: LEASE, sha256: OTHER_SHA, failure });
    expect(sent(after)).toMatchObject([{ t: "upload", kind: "artifact" }]);
  });
});
