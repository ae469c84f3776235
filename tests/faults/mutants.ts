/** Bugs planted one at a time, to see that the simulation finds them. */
import type { Mutant } from "./system/hooks.ts";

export const MUTANTS: readonly Mutant[] = [];
