import { ChildDevice } from "#gpu-runner/engines/reference/child-device.ts";
import { referenceEngine } from "#gpu-runner/engines/reference/reference-engine.ts";
import { conforms } from "./engine-suite.ts";

conforms({
  name: "reference",
  caps: referenceEngine({ faults: true }).caps,
  spec: {
    model: "reference",
    prompt: "a red fox in the snow",
    negative_prompt: "",
    width: 320,
    height: 192,
    fps: 24,
    frames: 24,
    steps: 8,
    seed: 7,
    reference: null,
  },
  open: (options) => new ChildDevice({ faults: true, ...options }),
  faultKnobs: true,
  decodesInTiles: false,
  hangMs: 10_000,
});
