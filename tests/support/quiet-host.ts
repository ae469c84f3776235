/** What a loop or a socket needs of its process, without output: a test adds the clock it wants. */
import { pino } from "pino";
import type { Meter } from "#control-plane/core/meter.ts";

const meter: Meter = { count: () => undefined, show: () => undefined };

export const QUIET = { log: pino({ level: "silent" }), meter } as const;
