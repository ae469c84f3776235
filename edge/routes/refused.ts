/** Clean noes: operations of the OpenAI shape that are not offered, wrong methods, unknown paths. */
import { refuse } from "../answer.ts";
import type { EdgeApp, EdgeContext } from "../app.ts";

const UNSUPPORTED = [
  "/v1/videos/:id/remix",
  "/v1/videos/edits",
  "/v1/videos/extensions",
  "/v1/videos/characters",
  "/v1/videos/characters/:id",
];

/** 400, not 501: the SDKs retry every 5xx. */
export function addUnsupportedRoutes(app: EdgeApp): void {
  for (const path of UNSUPPORTED) {
    app.all(path, (c) => refuse(c, { code: "unsupported_operation", message: `${c.req.path} is not supported.` }));
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
