/**
 * How good the quotes were, for jobs that waited at least a minute before their first start: whether they started by the
 * last p90 made at least a minute before, and how far that quote's p50 and the p90 of the submission were off.
 */
import type { LogRecord } from "../log-record.ts";
import { percentile, round } from "./percentile.ts";

const WAIT_MIN_MS = 60_000;

export interface EtaQuality {
  /** Jobs that waited a minute and had been quoted. */
  readonly jobs: number;
  /** Null where the policy quotes nothing. */
  readonly started_by_p90: number | null;
  readonly median_error_p50_s: number | null;
  /** Median of |quoted p90 - wait| / wait at submission. */
  readonly error_p90: number | null;
}

export function etaQuality(records: readonly LogRecord[]): EtaQuality {
  const submitted = new Map<string, { readonly atMs: number; readonly p90S: number | null }>();
  const kept: boolean[] = [];
  const errorsS: number[] = [];
  const errorsP90: number[] = [];
  for (const record of records) {
    if (record.event === "submitted") {
      submitted.set(record.job, { atMs: record.t_ms, p90S: record.eta_p90_s ?? null });
      continue;
    }
    const first = record.event === "placed" ? submitted.get(record.job) : undefined;
    if (record.event !== "placed" || first === undefined) continue;
    submitted.delete(record.job);
    const waitMs = record.t_ms - first.atMs;
    if (waitMs < WAIT_MIN_MS) continue;
    if (first.p90S !== null) errorsP90.push(Math.abs(first.p90S * 1_000 - waitMs) / waitMs);
    const { eta_at_ms: atMs, eta_p50_s: p50S, eta_p90_s: p90S } = record;
    if (atMs === undefined || p50S === undefined || p90S === undefined) continue;
    kept.push(record.t_ms <= atMs + p90S * 1_000);
    errorsS.push(Math.abs(record.t_ms - atMs - p50S * 1_000) / 1_000);
  }
  const none = kept.length === 0;
  return {
    jobs: kept.length,
    started_by_p90: none ? null : round(kept.filter(Boolean).length / kept.length),
    median_error_p50_s: none ? null : percentile(errorsS, 0.5),
    error_p90: errorsP90.length === 0 ? null : percentile(errorsP90, 0.5),
  };
}
