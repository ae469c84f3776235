/** A broken invariant is a bug of ours, never a refusal or a fault: it fails the request and is not swallowed. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

export function invariant(condition: boolean, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}
