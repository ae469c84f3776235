/**
 * What clients asked and what they were told. An operation is invoked once and ends as
 * ok (acknowledged), fail (refused for certain: nothing was done) or info (nobody knows, it may have been done).
 */

export interface Operation {
  /** Unique; travels as metadata of the video, so that the checker finds what became of an unknown outcome. */
  readonly name: string;
  readonly kind: "submit" | "cancel" | "read";
  readonly account: string;
  readonly invokedAtMs: number;
  /** What a read or cancel is about; what a submit made, once acknowledged. */
  job: string | null;
  outcome: "open" | "ok" | "fail" | "info";
  endedAtMs: number | null;
  /** Status or fault, for the report. */
  said: string;
}

export class History {
  readonly operations: Operation[] = [];
  /** Calls that failed although they were repeated once, as every SDK does. */
  readonly failedCalls: string[] = [];
  /** Creates that were sent again under their `create_key`, because the first answer did not come. */
  sentAgain = 0;
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  invoke(kind: Operation["kind"], account: string, job: string | null = null): Operation {
    const operation: Operation = {
      name: `${this.#prefix}-${this.operations.length}`,
      kind,
      account,
      invokedAtMs: Date.now(),
      job,
      outcome: "open",
      endedAtMs: null,
      said: "",
    };
    this.operations.push(operation);
    return operation;
  }

  end(operation: Operation, outcome: "ok" | "fail" | "info", said: string, job = operation.job): void {
    operation.outcome = outcome;
    operation.said = said;
    operation.job = job;
    operation.endedAtMs = Date.now();
  }

  /** Jobs that a client was told it has. */
  get acknowledged(): readonly string[] {
    return this.operations.flatMap(({ kind, outcome, job }) =>
      kind === "submit" && outcome === "ok" && job !== null ? [job] : [],
    );
  }

  count(outcome: Operation["outcome"]): number {
    return this.operations.filter((operation) => operation.outcome === outcome).length;
  }
}
