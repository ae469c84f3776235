import { ChildDevice } from "#gpu-runner/engines/reference/child-device.ts";
import { referenceEngine } from "#gpu-runner/engines/reference/reference-engine.ts";
import { aSpec } from "../runner/reference-job.ts";
import { conforms } from "./engine-suite.ts";

conforms({
  name: "reference",
  caps: referenceEngine({ faults: true }).caps,
  spec: aSpec(),
  open: (options) => new ChildDevice({ faults: true, ...options }),
  faultKnobs: true,
  decodesInTiles: false,
  hangMs: 10_000,
});
