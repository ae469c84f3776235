/**
 * Which address of the control plane to dial next, and when: `(redial, ended, random) → next`.
 *
 * A *pass* goes over the whole list, from the address that was the leader when we last knew. The first pass after a
 * welcome waits for nothing, so a leader that answers is found within its grace; each later pass first waits with full
 * jitter. A replica that does not lead may name the leader: that one is dialled at once, if the operator named it too.
 *
 * A welcome that was *brief* is no success. What is said again over every new socket may be what each of them is cut for,
 * while the store or the database fails: the second brief one in a row waits, each further one for longer.
 */
import { CLOSE_NOT_LEADER, CLOSE_REPLACED, REDIAL_GRACE_MS } from "#protocol/runner.ts";

/** Replicas that point at each other, or at a leader that is gone, are not followed for ever. */
export const REDIRECTS_MAX = 3;
/** A leader that answers again is found well within the grace, even at the worst jitter. */
export const REDIAL_MS_MAX = 1_000;
const REDIAL_MS_MIN = 50;
const REDIAL_DOUBLINGS_MAX = 10;
/** Twins that throw each other out must not do it all day long. */
const REPLACED_MS = REDIAL_GRACE_MS;

export interface Redial {
  readonly urls: readonly string[];
  /** Where the last welcome came from. */
  readonly leader: number;
  readonly at: number;
  /** Dials since the last welcome; redirects are counted apart. */
  readonly dials: number;
  readonly redirects: number;
  /** Brief welcomes since the last one that was not. */
  readonly briefs: number;
}

export interface Ended {
  readonly at: number;
  /** This socket had heard a welcome. */
  readonly welcomed: boolean;
  /** Welcomed, and over before a ping could tell that it lasts. */
  readonly brief: boolean;
  /** Null for a dial that only takes long: the next address need not wait for it. */
  readonly code: number | null;
  readonly reason: string;
}

export interface Next {
  readonly redial: Redial;
  readonly at: number;
  readonly delayMs: number;
}

export function firstDial(urls: readonly string[]): Next {
  return { redial: { urls, leader: 0, at: 0, dials: 1, redirects: 0, briefs: 0 }, at: 0, delayMs: 0 };
}

/** `random` is in [0, 1). */
export function nextDial(redial: Redial, ended: Ended, random: number): Next {
  const known: Redial = ended.welcomed
    ? { ...redial, leader: ended.at, dials: 0, redirects: 0, briefs: ended.brief ? redial.briefs + 1 : 0 }
    : redial;
  const named = ended.code === CLOSE_NOT_LEADER ? addressNamed(ended.reason, redial.urls) : -1;
  if (named !== -1 && named !== ended.at && known.redirects < REDIRECTS_MAX) {
    return { redial: { ...known, redirects: known.redirects + 1 }, at: named, delayMs: 0 };
  }
  const count = known.urls.length;
  const at = ended.welcomed
    ? (known.leader + (ended.code === CLOSE_NOT_LEADER ? 1 : 0)) % count
    : (known.at + 1) % count;
  const passMs = known.dials % count === 0 ? passDelayMs(known.dials / count, random) : 0;
  const waitMs = ended.brief ? briefDelayMs(known.briefs, random) : passMs;
  const delayMs = ended.code === CLOSE_REPLACED ? REPLACED_MS : waitMs;
  return { redial: { ...known, at, dials: known.dials + 1 }, at, delayMs };
}

function passDelayMs(passes: number, random: number): number {
  if (passes === 0) return 0;
  return Math.max(REDIAL_MS_MIN, Math.floor(random * ceilingMs(passes)));
}

/** Half of it is sure: by full jitter alone, a leader that takes every call could be dialled many times a second. */
function briefDelayMs(briefs: number, random: number): number {
  if (briefs === 1) return 0;
  return Math.floor(((1 + random) / 2) * ceilingMs(briefs - 1));
}

function ceilingMs(doublings: number): number {
  return Math.min(REDIAL_MS_MAX, REDIAL_MS_MIN * 2 ** Math.min(doublings, REDIAL_DOUBLINGS_MAX));
}

/**
 * A runner's secret goes to no address that the operator did not name: whoever can make a replica say another one, or
 * speak in its place, must not learn it. The same host on another port may be anybody's, so it does not do either.
 */
function addressNamed(reason: string, urls: readonly string[]): number {
  const wanted = addressOf(reason);
  return wanted === null ? -1 : urls.findIndex((url) => addressOf(url) === wanted);
}

/** One spelling for one address: case of the host, default port and the slash at the end do not count. */
function addressOf(text: string): string | null {
  if (!URL.canParse(text)) return null;
  const { protocol, username, password, host, pathname, search, hash } = new URL(text);
  if (!/^https?:$/.test(protocol) || username + password + search + hash !== "") return null;
  return `${protocol}//${host}${pathname.replace(/\/+$/, "")}`;
}
