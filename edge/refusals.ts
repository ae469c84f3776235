/** Refusals that more than one part of the edge gives. */
import type { Refusal } from "#protocol/error.ts";

export const UNREACHABLE: Refusal = {
  code: "control_plane_unavailable",
  message: "The service cannot be reached right now. Please try again.",
  retryAfterSeconds: 2,
};
