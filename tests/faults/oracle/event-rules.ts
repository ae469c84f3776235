/** Rules of an account's log: numbers without gap or double in the order of commits, one beginning and one end a video. */
import type { JobRow } from "#control-plane/db/jobs.ts";
import { PHASE_OF } from "#control-plane/core/job.ts";
import type { Change } from "../postgres/table.ts";
import type { EventRow, Tables } from "../postgres/tables.ts";
import type { Finding } from "./checker.ts";

const ENDS: ReadonlySet<string> = new Set(["video.completed", "video.failed", "video.cancelled"]);
const TOLD_AS: Readonly<Record<string, string>> = {
  queued: "video.queued",
  preempted: "video.preempted",
  retrying: "video.retrying",
  completed: "video.completed",
  failed: "video.failed",
  cancelled: "video.cancelled",
};

export class EventRules {
  readonly #last = new Map<string, number>();
  readonly #ended = new Set<string>();
  readonly #begun = new Set<string>();
  readonly #tables: Tables;

  constructor(tables: Tables) {
    this.#tables = tables;
  }

  findings(changes: readonly Change[]): readonly Finding[] {
    const events = changes
      .filter(({ table }) => table === "event")
      .map(({ after }) => after as EventRow)
      .sort((a, b) => a.sequenceNumber - b.sequenceNumber);
    return [
      ...events.map((event) => this.#eventFinding(event)),
      ...changes.map((change) => toldFinding(change, events)),
    ];
  }

  #eventFinding({ accountId, sequenceNumber, happening }: EventRow): Finding {
    const expected = (this.#last.get(accountId) ?? 0) + 1;
    this.#last.set(accountId, sequenceNumber);
    if (sequenceNumber !== expected) return `event ${sequenceNumber} of ${accountId} came, where ${expected} was due`;
    if (this.#tables.counter.get(accountId) === null) return `${accountId} has events and no counter`;
    if (!("id" in happening.data)) return null;
    const { id } = happening.data;
    if (this.#ended.has(id)) return `${happening.type} of ${id} was told after its end`;
    if ((happening.type === "video.queued") === this.#begun.has(id))
      return `${happening.type} of ${id} is out of order`;
    this.#begun.add(id);
    if (ENDS.has(happening.type)) this.#ended.add(id);
    return null;
  }
}

/** What users may see of a move is told in the commit that makes it. */
function toldFinding({ table, before, after }: Change, events: readonly EventRow[]): Finding {
  if (table !== "job") return null;
  const [was, is] = [before as JobRow | null, after as JobRow];
  if (was !== null && PHASE_OF[was.state] === PHASE_OF[is.state]) return null;
  const type = TOLD_AS[is.state];
  if (type === undefined) return null;
  const told = events.some(
    ({ happening }) => happening.type === type && "id" in happening.data && happening.data.id === is.id,
  );
  return told ? null : `${is.id} became ${is.state} and nobody is told`;
}
