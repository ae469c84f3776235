/**
 * Ten thousand live sessions that end in one moment, under virtual time: each client waits as `protocol/reconnect.ts` says, and what
 * it meets is the edge's own admission, or nobody while the edge is away. Answers when who knocked, and how soon all were back.
 */
import { charge, ratePerMinute } from "#edge/core/rate-limit.ts";
import { CLOSE } from "#protocol/live-session.ts";
import { type Ended, reconnectAfterMs } from "#protocol/reconnect.ts";
import { MinHeap } from "#sim/min-heap.ts";
import { Random } from "#tests/chaos/random.ts";

/** What every tier has by default; a session counts as a read. */
const READ_RATE = ratePerMinute(6_000, 200);

export interface Herd {
  readonly clients: number;
  /** Sessions of one account share its rate. */
  readonly clientsPerAccount: number;
  /** What all of them were told at the end. */
  readonly ended: Ended;
  /** The window that their `hello` named, or that they use without one. */
  readonly withinMs: number;
  /** For so long nobody answers. */
  readonly awayMs: number;
  readonly seed: number;
}

export interface Stampede {
  readonly tries: number;
  /** In the busiest second, wherever it begins. */
  readonly peakTries: number;
  readonly peakSessions: number;
  readonly medianBackMs: number;
  readonly allBackMs: number;
  /** Sessions that opened, per second from the end of the old ones. */
  readonly histogram: readonly number[];
}

interface Knock {
  readonly client: number;
  readonly failures: number;
}

const SECOND_MS = 1_000;
const GONE: Ended = { t: "closed", code: 1_006, reason: "" };

export function stampede({ clients, clientsPerAccount, ended, withinMs, awayMs, seed }: Herd): Stampede {
  const random = new Random(seed);
  const queue = new MinHeap<Knock>();
  /** Of each account: its rate's state at the edge. */
  const standings = new Map<number, number>();
  const knocks: number[] = [];
  const backs: number[] = [];
  const wait = (knock: Knock, why: Ended, nowMs: number): void => {
    const delayMs = reconnectAfterMs(why, withinMs, knock.failures, random.unit());
    if (delayMs !== null) queue.push(nowMs + delayMs, knock);
  };
  for (let client = 0; client < clients; client++) wait({ client, failures: 0 }, ended, 0);
  for (let next = queue.peek(); next !== null; next = queue.peek()) {
    const { key: nowMs, value: knock } = next;
    queue.pop();
    knocks.push(nowMs);
    const account = Math.floor(knock.client / clientsPerAccount);
    const answer = nowMs < awayMs ? GONE : answerOf(standings, account, nowMs);
    if (answer === null) backs.push(nowMs);
    else wait({ ...knock, failures: knock.failures + 1 }, answer, nowMs);
  }
  return {
    tries: knocks.length,
    peakTries: busiest(knocks),
    peakSessions: busiest(backs),
    medianBackMs: backs[Math.floor(backs.length / 2)] ?? Infinity,
    allBackMs: backs.length === clients ? (backs.at(-1) ?? 0) : Infinity,
    histogram: perSecond(backs),
  };
}

/** What every client of an edge is told that stops in order. */
export function deployed(reason: string): Ended {
  return { t: "closed", code: CLOSE.deploy, reason };
}

export const KILLED: Ended = GONE;

/** As the account's object admits a session: null is a welcome. */
function answerOf(standings: Map<number, number>, account: number, nowMs: number): Ended | null {
  const charged = charge(standings.get(account), READ_RATE, nowMs);
  standings.set(account, charged.tatMicros);
  if (charged.ok) return null;
  return { t: "refused", status: 429, retryAfterMs: Math.ceil(charged.waitMs / SECOND_MS) * SECOND_MS };
}

/** `times` ascend. */
function busiest(times: readonly number[]): number {
  let most = 0;
  for (let first = 0, next = 0; next < times.length; next++) {
    while ((times[next] as number) - (times[first] as number) >= SECOND_MS) first++;
    most = Math.max(most, next - first + 1);
  }
  return most;
}

function perSecond(times: readonly number[]): readonly number[] {
  const counts: number[] = [];
  for (const time of times) {
    const second = Math.floor(time / SECOND_MS);
    while (counts.length <= second) counts.push(0);
    counts[second] = (counts[second] ?? 0) + 1;
  }
  return counts;
}
