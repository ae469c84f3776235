/** Refusals that more than one part of the edge gives. When to come again is drawn anew each time: a herd that left together comes back one by one. */
import type { Refusal } from "#protocol/error.ts";

/** The same for an unknown id, one of another shape and another account's. */
export const VIDEO_NOT_FOUND: Refusal = { code: "video_not_found", message: "No such video." };

/** The SDKs ask again after the second, and find what came of it. */
export const IN_FLIGHT: Refusal = {
  code: "idempotency_in_flight",
  message: "The same create is under way. Please ask again in a moment.",
  retryAfterSeconds: 1,
};

const UNREACHABLE_AGAIN_S_MAX = 4;
const SHED_AGAIN_S_MAX = 30;

export const UNREACHABLE: Refusal = {
  code: "control_plane_unavailable",
  message: "The service cannot be reached right now. Please try again.",
  get retryAfterSeconds() {
    return 1 + Math.floor(Math.random() * UNREACHABLE_AGAIN_S_MAX);
  },
};

export const SHED: Refusal = {
  code: "temporary_reduced_capacity",
  message: "The service has more to do than it can right now. Please try again.",
  get retryAfterSeconds() {
    return 1 + Math.floor(Math.random() * SHED_AGAIN_S_MAX);
  },
};
