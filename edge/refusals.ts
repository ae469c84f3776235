/** Refusals that more than one part of the edge gives. */
import type { Refusal } from "#protocol/error.ts";

/** The same for an unknown id, one of another shape and another account's. */
export const VIDEO_NOT_FOUND: Refusal = { code: "video_not_found", message: "No such video." };

/** The SDKs ask again after the second, and find what came of it. */
export const IN_FLIGHT: Refusal = {
  code: "idempotency_in_flight",
  message: "The same create is under way. Please ask again in a moment.",
  retryAfterSeconds: 1,
};

export const UNREACHABLE: Refusal = {
  code: "control_plane_unavailable",
  message: "The service cannot be reached right now. Please try again.",
  retryAfterSeconds: 2,
};
