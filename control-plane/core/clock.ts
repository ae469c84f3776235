/** Time as the shells get it: the process passes the system's, the simulation its own. Nothing in `core` holds one. */
export interface Clock {
  /** Milliseconds since 1970, as people read it. It may jump: never for leases or deadlines of this process. */
  nowMs(): number;
  /** Milliseconds that only grow, from an arbitrary start. */
  monotonicMs(): number;
  /** Runs `act` once after the delay; the answer cancels that. */
  after(delayMs: number, act: () => void): Cancel;
}

export type Cancel = () => void;
