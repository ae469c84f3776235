/** One `Range: bytes=…` header against an object of known length (RFC 9110); several ranges are answered whole. */
export type ByteRange =
  | { readonly kind: "whole" }
  | { readonly kind: "part"; readonly start: number; readonly end: number }
  | { readonly kind: "unsatisfiable" };

export function byteRange(header: string | null, length: number): ByteRange {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? "");
  if (match === null) return { kind: "whole" };
  const [, first = "", last = ""] = match;
  if (first === "" && last === "") return { kind: "whole" };
  if (first === "") {
    const suffix = Number(last);
    return suffix === 0
      ? { kind: "unsatisfiable" }
      : { kind: "part", start: Math.max(0, length - suffix), end: length - 1 };
  }
  const start = Number(first);
  const end = last === "" ? length - 1 : Math.min(Number(last), length - 1);
  if (start >= length) return { kind: "unsatisfiable" };
  return start > end ? { kind: "whole" } : { kind: "part", start, end };
}
