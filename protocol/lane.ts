/**
 * Which calls of the edge give way first when the control plane has more than it can do. The edge and the control plane both
 * shed by lane, so that a flood of lists never costs a create.
 */

/** First to be shed first. Runners' sockets and the store are no calls of the edge: they are never shed. */
export const LANES = ["list", "events", "status", "submit", "key"] as const;
export type Lane = (typeof LANES)[number];

/** How long the edge still waits for the answer, in milliseconds. A hint, unsigned: it can only make work be dropped. */
export const DEADLINE_HEADER = "x-callsheet-deadline";

/** On an answer of the control plane that was shed before anything was looked at. */
export const SHED_HEADER = "x-callsheet-shed";

/**
 * Keys are checked before anything else can be, so they come last with what makes or ends videos: an end frees what is scarce.
 * What has no lane of its own (credits, webhook endpoints, estimates) is read as rarely as lists, and waits as well.
 */
export function laneOf(method: string, path: string): Lane {
  const tail = path.split("?", 1)[0]?.replace(/^\/edge\/v1/, "") ?? "";
  if (tail === "/keys/check") return "key";
  if (tail === "/events" || tail === "/subscription" || tail === "/snapshot") return "events";
  if (tail === "/videos" && method === "POST") return "submit";
  if (/^\/videos\/[^/]+(\/(cancel|remix|promote))?$/.test(tail) && method !== "GET")
    return tail.endsWith("/estimate") ? "list" : "submit";
  if (/^\/videos\/[^/]+(\/content)?$/.test(tail)) return "status";
  return "list";
}
