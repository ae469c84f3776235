/** Every row, in the order in which the table prints them. */
import type { Row } from "./row.ts";
import { cutRunner } from "./rows/cut-runner.ts";
import { frozenRunner } from "./rows/frozen-runner.ts";
import { killedControlPlane } from "./rows/killed-control-plane.ts";
import { killedRunner } from "./rows/killed-runner.ts";
import { lostLeader } from "./rows/lost-leader.ts";
import { lostPostgres } from "./rows/lost-postgres.ts";
import { rollingRestart } from "./rows/rolling-restart.ts";

export const ROWS: readonly Row[] = [
  killedControlPlane,
  killedRunner,
  frozenRunner,
  lostLeader,
  rollingRestart,
  lostPostgres,
  cutRunner,
];
