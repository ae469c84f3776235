/** Every row, in the order in which the table prints them. */
import type { Row } from "./row.ts";
import { brokenStorage } from "./rows/broken-storage.ts";
import { cutLeader } from "./rows/cut-leader.ts";
import { cutRunner } from "./rows/cut-runner.ts";
import { deafParts } from "./rows/deaf-parts.ts";
import { drainedRunner } from "./rows/drained-runner.ts";
import { frozenRunner } from "./rows/frozen-runner.ts";
import { killedControlPlane } from "./rows/killed-control-plane.ts";
import { killedRunner } from "./rows/killed-runner.ts";
import { lostEdge } from "./rows/lost-edge.ts";
import { lostFollower } from "./rows/lost-follower.ts";
import { lostLeader } from "./rows/lost-leader.ts";
import { lostPostgres } from "./rows/lost-postgres.ts";
import { poisonJob } from "./rows/poison-job.ts";
import { rollingRestart } from "./rows/rolling-restart.ts";
import { unrulyFrames } from "./rows/unruly-frames.ts";
import { wrongClocks } from "./rows/wrong-clocks.ts";

export const ROWS: readonly Row[] = [
  killedControlPlane,
  killedRunner,
  drainedRunner,
  frozenRunner,
  lostLeader,
  lostFollower,
  rollingRestart,
  lostPostgres,
  cutRunner,
  cutLeader,
  unrulyFrames,
  wrongClocks,
  brokenStorage,
  lostEdge,
  poisonJob,
  deafParts,
];
