/** What the control plane counts and shows to its operator, by name; the process exports it (`metrics.ts`), tests read it. */

/** Each with at most one label, whose values are few and fixed. */
export const COUNTERS = {
  loop_failures_total: { help: "Turns of a background loop that failed and are tried again.", label: "loop" },
  attempts_ended_total: { help: "Attempts by how they ended, as runners said or their silence did.", label: "how" },
  stale_frames_total: { help: "Writes of runners refused because their lease is over.", label: "frame" },
  assignments_unanswered_total: { help: "Assignments that a runner did not acknowledge in time.", label: null },
  moderations_total: {
    help: "Questions to the moderation hook about results, by their outcome; `none` is no verdict.",
    label: "verdict",
  },
  webhook_tries_total: {
    help: "Tries of webhooks by the kind of their answer, or why there was none.",
    label: "outcome",
  },
  calls_shed_total: { help: "Calls of the edge shed at the gate, by lane.", label: "lane" },
  calls_waited_total: { help: "Calls of the edge that waited at the gate, by lane.", label: "lane" },
  calls_waited_seconds_total: { help: "How long calls of the edge waited at the gate, by lane.", label: "lane" },
} as const;

export const GAUGES = {
  leader_epoch: "The epoch under which this replica leads; 0 if it does not.",
  jobs_waiting: "Jobs that wait, as the leader knows them.",
  jobs_running: "Jobs that hold devices, as the leader knows them.",
  runners_connected: "Runners with a socket to this replica.",
  calls_limit: "Calls of the edge that may be under way at once, as learnt from how long they take.",
  calls_running: "Calls of the edge under way.",
  calls_waiting: "Calls of the edge that wait at the gate.",
  pulse_seconds: "What a trivial statement took last on the connections of the leader and the runners.",
  ledger_breaches: "Rows that break a rule of the ledger; above 0 nothing is admitted.",
  ledger_entries: "Entries of the ledger's journal.",
  admin_audit_breaches: "Rows of the admin audit log that were changed, removed or put in.",
  admin_audit_rows: "Rows of the admin audit log.",
  ledger_audited_seconds: "When the ledger was last audited, in seconds since 1970.",
} as const;

export type CounterName = keyof typeof COUNTERS;
export type GaugeName = keyof typeof GAUGES;

export interface Meter {
  count(name: CounterName, label?: string, by?: number): void;
  show(name: GaugeName, value: number): void;
}
