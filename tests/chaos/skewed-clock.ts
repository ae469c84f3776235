/**
 * Loaded before a program (`--import`): its wall clock is off by `CALLSHEET_CHAOS_SKEW_MS`. Monotonic time is left alone, as by
 * a machine whose clock was set wrong.
 */
const skewMs = Number(process.env["CALLSHEET_CHAOS_SKEW_MS"]);
const TrueDate = Date;

class SkewedDate extends TrueDate {
  constructor(...given: [] | [number | string | Date]) {
    if (given.length === 0) super(TrueDate.now() + skewMs);
    else super(...given);
  }

  static override now(): number {
    return TrueDate.now() + skewMs;
  }
}

if (!Number.isFinite(skewMs)) throw new TypeError("CALLSHEET_CHAOS_SKEW_MS must be a number");
globalThis.Date = SkewedDate as DateConstructor;
