/** Tells a database that is away (try again) from a bug (do not). */

/** Connection faults of the driver, and SQLSTATE classes 08 (connection), 53 (resources), 57 (operator), 55P03, 40. */
const AWAY = /^(?:CONNECT|CONNECTION_|ECONN|ETIMEDOUT|EPIPE|08|53|57|40|55P03)/;

export function faultOf(error: unknown): "unavailable" | "bug" {
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause : error;
  const code = cause instanceof Error && "code" in cause && typeof cause.code === "string" ? cause.code : "";
  return AWAY.test(code) ? "unavailable" : "bug";
}
