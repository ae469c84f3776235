/** Every row, in the order in which the table prints them. */
import type { Row } from "./row.ts";
import { killedControlPlane } from "./rows/killed-control-plane.ts";
import { killedRunner } from "./rows/killed-runner.ts";

export const ROWS: readonly Row[] = [killedControlPlane, killedRunner];
