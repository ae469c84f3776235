/** The types of the Hono app: its bindings and what a request carries from one handler to the next. */
import type { Context, Hono } from "hono";
import type { RequestId } from "#protocol/id.ts";
import type { Caller } from "./caller.ts";
import type { RateReport } from "./core/rate-headers.ts";
import type { Config } from "./env.ts";

interface Edge {
  readonly Bindings: Cloudflare.Env;
  readonly Variables: {
    requestId: RequestId;
    config: Config;
    /** Set by `routes/authorized.ts` before a handler that needs it runs. */
    caller: Caller;
    /** How the caller's rates stand: told in the answer's headers, whatever it is. */
    rates: RateReport;
  };
}
export type EdgeApp = Hono<Edge>;
export type EdgeContext = Context<Edge>;
