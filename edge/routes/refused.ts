/** Clean noes: operations of the OpenAI shape that are not offered, wrong methods, unknown paths. */
import { refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";
import { discardBytes } from "../read-bytes.ts";

const UNSUPPORTED = [
  ["POST", "/v1/videos/edits"],
  ["POST", "/v1/videos/extensions"],
  ["POST", "/v1/videos/characters"],
  ["GET", "/v1/videos/characters/:id"],
] as const;

/** 400, not 501: the SDKs retry every 5xx. */
export function addUnsupportedRoutes(app: EdgeApp): void {
  for (const [method, path] of UNSUPPORTED) {
    app.on(method, path, async (c) => {
      // A client that still uploads its video would see a cut connection instead of the answer, and try again.
      await discardBytes(c.req.raw.body);
      return refuse(c, { code: "unsupported_operation", message: `${c.req.method} ${c.req.path} is not supported.` });
    });
    app.all(path, methodNotAllowed(method));
  }
}

export function methodNotAllowed(allow: string): (c: EdgeContext) => Response {
  return (c) => {
    const answer = refuse(c, { code: "method_not_allowed", message: `${c.req.method} is not allowed here.` });
    answer.headers.set("allow", allow);
    return answer;
  };
}

export function notFound(c: EdgeContext): Response {
  return refuse(c, { code: "not_found", message: `Unknown path: ${c.req.method} ${c.req.path.slice(0, 200)}` });
}
