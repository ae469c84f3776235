/**
 * The engine process of one device. It renders one job at a time, stays warm between jobs, and dies with its runner:
 * when the channel closes there is nobody left to render for.
 */
import type { EngineEvent } from "../../engine.ts";
import { isStorageFull, storageFull } from "../../storage-fault.ts";
import { CheckpointError } from "../../checkpoint/checkpoint-error.ts";
import type { FromChild, ToChild } from "./child-message.ts";
import { NotFiniteError } from "./finite.ts";
import { answer } from "./known-answer.ts";
import { ReferenceImageError } from "./reference-image.ts";
import { type Control, OutOfMemoryError, render } from "./render.ts";

const DETAIL_CHARS_MAX = 2_000;
let current: { readonly run: number; readonly control: Control } | null = null;

process.on("disconnect", () => process.exit(0));
// The runner decides when its children end; a Ctrl-C in the terminal reaches the whole group.
process.on("SIGINT", () => undefined);
process.on("SIGTERM", () => undefined);

function tell(message: FromChild): void {
  process.send?.(message);
}

process.on("message", (message: ToChild) => {
  if (message.t === "check") return tell({ t: "checked", run: message.run, latents: answer() });
  if (message.t === "stop") {
    if (current?.run === message.run) current.control.stop ??= message.why;
    return;
  }
  const { run, job, faults } = message;
  const control: Control = { stop: null };
  current = { run, control };
  const emit = (event: EngineEvent): void => tell({ t: "event", run, event });
  void render({ job, faults, control, emit }).catch((fault: unknown) => emit({ t: "failed", error: classify(fault) }));
});

tell({ t: "ready" });

function classify(fault: unknown): Extract<EngineEvent, { t: "failed" }>["error"] {
  const detail = (fault instanceof Error ? `${fault.name}: ${fault.message}` : String(fault)).slice(
    0,
    DETAIL_CHARS_MAX,
  );
  if (fault instanceof ReferenceImageError) return { class: "user", code: "invalid_input_reference", detail };
  // Nobody's failure but the file's: the next attempt resumes from an older one, or starts anew.
  if (fault instanceof CheckpointError) return { class: "retryable", code: "bad_checkpoint", detail: fault.message };
  if (fault instanceof OutOfMemoryError) return { class: "capacity", code: `oom_${fault.stage}`, detail };
  if (fault instanceof RangeError) return { class: "capacity", code: "oom_denoise", detail };
  if (fault instanceof NotFiniteError) return { class: "engine_fatal", code: "nan_latents", detail };
  if (isStorageFull(fault)) return storageFull(fault);
  return { class: "engine_fatal", code: "render_failed", detail };
}
