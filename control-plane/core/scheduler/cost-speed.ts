/** How fast a kind of GPU is, in H100s: the prior for figures that were declared on the reference GPU only. */
import { invariant } from "#protocol/invariant.ts";
import { GPU_KINDS, REFERENCE_GPU } from "./cost-gpu.ts";
import { GANG_TOKENS_MIN, lawStepSeconds } from "./cost-law.ts";
import { MODEL_SPECS } from "./cost-spec.ts";

/** By the scaling law at the tokens where gangs begin to pay; 1 for a kind nobody published. */
export function speedOf(gpu: string): number {
  const [kind, reference] = [GPU_KINDS.get(gpu), GPU_KINDS.get(REFERENCE_GPU)];
  const transformer = MODEL_SPECS.get("wan2.2-t2v-a14b")?.transformer;
  invariant(
    reference !== undefined && transformer !== undefined && transformer !== null,
    "the reference figures exist",
  );
  if (kind === undefined) return 1;
  const seconds = (of: typeof kind) => lawStepSeconds(transformer, 1, GANG_TOKENS_MIN, of);
  return seconds(reference) / seconds(kind);
}
