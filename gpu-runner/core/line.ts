/**
 * Which of its sockets to the control plane a runner believes: `(line, event, random) → { line, effects }`.
 *
 * A call is dialling → greeting (open, our hello said) → believed (its welcome heard). At most one greets and at most one is
 * believed; only that one is spoken over and listened to. A believed call whose pings stay unanswered is *mute*: it is kept,
 * because the attempts live on it if its way heals, and others are dialled beside it. The first to be heard goes on: the
 * mute one if it answers a ping, another one if it is welcomed, and then the old one is cut.
 */
import { CLOSE_REPLACED } from "#protocol/runner.ts";
import { type Ended, firstDial, type Next, nextDial, type Redial } from "./redial.ts";

export interface Call {
  readonly id: number;
  /** Its place in the list of addresses. */
  readonly at: number;
  readonly stage: "dialling" | "greeting" | "believed";
  readonly mute: boolean;
  /** Believed for so long that a ping was answered, or was due to be. */
  readonly lasted: boolean;
}

export interface LineState {
  readonly redial: Redial;
  readonly calls: readonly Call[];
  readonly callsMade: number;
  /** The address that is dialled when the wait is over. */
  readonly due: number | null;
  /** We have said hello beside the believed call: if that one is replaced now, then by ourselves. */
  readonly greetedBeside: boolean;
}

export type LineEvent =
  | { readonly t: "due" }
  /** A dial takes long: the next address is tried as well. */
  | { readonly t: "stalled"; readonly id: number }
  | { readonly t: "opened"; readonly id: number }
  | { readonly t: "welcomed"; readonly id: number }
  | { readonly t: "answered"; readonly id: number }
  | { readonly t: "unanswered"; readonly id: number }
  | { readonly t: "closed"; readonly id: number; readonly code: number; readonly reason: string };

export type LineEffect =
  | { readonly t: "dial"; readonly id: number; readonly at: number }
  /** Then it is `due`. */
  | { readonly t: "wait"; readonly delayMs: number }
  /** Nothing is due any more. */
  | { readonly t: "rest" }
  /** Say hello over this call. */
  | { readonly t: "greet"; readonly id: number }
  /** No call is left over which anything can be said. */
  | { readonly t: "down" }
  | { readonly t: "cut"; readonly id: number }
  | { readonly t: "name_taken" };

export interface LineStep {
  readonly line: LineState;
  readonly effects: readonly LineEffect[];
}

export function newLine(urls: readonly string[]): LineStep {
  const { redial, at } = firstDial(urls);
  return dial({ redial, calls: [], callsMade: 0, due: null, greetedBeside: false }, at);
}

export function believedOf(line: LineState): Call | null {
  return line.calls.find(({ stage }) => stage === "believed") ?? null;
}

export function greetingOf(line: LineState): Call | null {
  return line.calls.find(({ stage }) => stage === "greeting") ?? null;
}

/** `random` is in [0, 1). What comes of a call that was cut changes nothing. */
export function stepLine(line: LineState, event: LineEvent, random: number): LineStep {
  if (event.t === "due") return line.due === null ? nothing(line) : dial({ ...line, due: null }, line.due);
  const call = line.calls.find(({ id }) => id === event.id);
  if (call === undefined) return nothing(line);
  switch (event.t) {
    case "stalled":
      return isSettled(line) ? nothing(line) : dialNext(line, tookLong(call.at), random);
    case "opened":
      return opened(line, call);
    case "welcomed":
      return welcomed(line, call);
    case "answered":
      return answered(line, call);
    case "unanswered":
      return unanswered(line, call, random);
    case "closed":
      return closed(line, call, event, random);
    default:
      return event satisfies never;
  }
}

function opened(line: LineState, call: Call): LineStep {
  if (call.stage !== "dialling") return nothing(line);
  if (isSettled(line)) return cut(line, call);
  const greeting = changed(line, { ...call, stage: "greeting" });
  return {
    line: { ...greeting, due: null, greetedBeside: line.greetedBeside || believedOf(line) !== null },
    effects: [{ t: "rest" }, { t: "greet", id: call.id }],
  };
}

function welcomed(line: LineState, call: Call): LineStep {
  if (call.stage !== "greeting") return nothing(line);
  const others = line.calls.filter(({ id }) => id !== call.id);
  return {
    line: { ...line, calls: [{ ...call, stage: "believed" }], due: null, greetedBeside: false },
    effects: [{ t: "rest" }, ...others.map(({ id }): LineEffect => ({ t: "cut", id }))],
  };
}

/** A call that greets is left alone: the hub may believe it already. */
function answered(line: LineState, call: Call): LineStep {
  if (call.stage !== "believed") return nothing(line);
  if (!call.mute) return nothing(changed(line, { ...call, lasted: true }));
  const dials = line.calls.filter(({ stage }) => stage === "dialling");
  const kept = line.calls.filter(({ stage }) => stage !== "dialling");
  return {
    line: changed({ ...line, calls: kept, due: null }, { ...call, mute: false }),
    effects: [{ t: "rest" }, ...dials.map(({ id }): LineEffect => ({ t: "cut", id }))],
  };
}

function unanswered(line: LineState, call: Call, random: number): LineStep {
  switch (call.stage) {
    case "dialling":
      return nothing(line);
    case "greeting": {
      const gone = cut(line, call);
      const next = over(gone.line, call, { code: null, reason: "" }, random);
      return { line: next.line, effects: [...gone.effects, ...next.effects] };
    }
    case "believed": {
      if (call.mute) return nothing(line);
      const mute = changed(line, { ...call, mute: true, lasted: true });
      const first = { at: call.at, welcomed: true, brief: false, code: null, reason: "" };
      return greetingOf(line) === null ? dialNext(mute, first, random) : nothing(mute);
    }
    default:
      return call.stage satisfies never;
  }
}

function closed(line: LineState, call: Call, why: Pick<Ended, "code" | "reason">, random: number): LineStep {
  return over({ ...line, calls: line.calls.filter(({ id }) => id !== call.id) }, call, why, random);
}

/** The call is gone already. */
function over(line: LineState, call: Call, { code, reason }: Pick<Ended, "code" | "reason">, random: number): LineStep {
  const wasBelieved = call.stage === "believed";
  const wasOurs = wasBelieved && line.greetedBeside;
  const isTaken = code === CLOSE_REPLACED && !wasOurs;
  const isDown = wasBelieved || (call.stage === "greeting" && believedOf(line) === null);
  const effects: LineEffect[] = [
    ...(isTaken ? [{ t: "name_taken" } as const] : []),
    ...(isDown ? [{ t: "down" } as const] : []),
  ];
  const left = wasBelieved ? { ...line, greetedBeside: false } : line;
  if (isSettled(left)) return { line: left, effects };
  const ended = {
    at: call.at,
    welcomed: wasBelieved,
    brief: wasBelieved && !call.lasted,
    code: code === CLOSE_REPLACED && wasOurs ? null : code,
    reason,
  };
  const next = dialNext(left, ended, random);
  return { line: next.line, effects: [...effects, ...next.effects] };
}

/** Nothing needs to be dialled: somebody is believed and answers, or is about to welcome us. */
function isSettled(line: LineState): boolean {
  return believedOf(line)?.mute === false || greetingOf(line) !== null;
}

/** Passes over addresses that are being dialled: their ends ask again. Nothing to do if a dial is due anyway. */
function dialNext(line: LineState, ended: Ended, random: number): LineStep {
  if (line.due !== null) return nothing(line);
  const isDialled = (at: number) => line.calls.some((call) => call.stage === "dialling" && call.at === at);
  let next: Next = nextDial(line.redial, ended, random);
  let delayMs = next.delayMs;
  for (let tries = 1; isDialled(next.at); tries++) {
    if (tries === line.redial.urls.length) return nothing(line);
    next = nextDial(next.redial, tookLong(next.at), random);
    delayMs = Math.max(delayMs, next.delayMs);
  }
  return { line: { ...line, redial: next.redial, due: next.at }, effects: [{ t: "wait", delayMs }] };
}

function dial(line: LineState, at: number): LineStep {
  const id = line.callsMade;
  const call: Call = { id, at, stage: "dialling", mute: false, lasted: false };
  return { line: { ...line, calls: [...line.calls, call], callsMade: id + 1 }, effects: [{ t: "dial", id, at }] };
}

function cut(line: LineState, { id }: Call): LineStep {
  return { line: { ...line, calls: line.calls.filter((call) => call.id !== id) }, effects: [{ t: "cut", id }] };
}

function changed(line: LineState, to: Call): LineState {
  return { ...line, calls: line.calls.map((call) => (call.id === to.id ? to : call)) };
}

function tookLong(at: number): Ended {
  return { at, welcomed: false, brief: false, code: null, reason: "" };
}

function nothing(line: LineState): LineStep {
  return { line, effects: [] };
}
