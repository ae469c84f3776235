/** The edge's call for a remix: parse → usecase → render. */
import { Hono } from "hono";
import { remixVideo } from "#control-plane/usecase/remix-video.ts";
import { SubmitRemix } from "#protocol/edge-call.ts";
import { refusalOf, renderRefusal } from "#protocol/error.ts";
import { VideoId } from "#protocol/id.ts";
import { jsonOf } from "./signed.ts";
import type { SignedVariables } from "./signed.ts";
import { showSubmitted, webhookRefusal } from "./videos.ts";
import type { VideosHost } from "./videos.ts";

export function remixRoutes(host: VideosHost) {
  return new Hono<{ Variables: SignedVariables }>().post("/:id/remix", async (c) => {
    const { account, requestId } = c.var;
    const source = VideoId.safeParse(c.req.param("id"));
    if (!source.success) return renderRefusal({ code: "video_not_found", message: "No such video." }, requestId);
    const wanted = SubmitRemix.safeParse(jsonOf(c.var.body));
    if (!wanted.success) return renderRefusal(refusalOf(wanted.error), requestId);
    const refused = webhookRefusal(host, wanted.data.remix.webhook_url);
    if (refused !== null) return renderRefusal(refused, requestId);
    const seed = host.randomSeed();
    const loadOf = await host.outlook.read();
    const judge = host.judge === null ? {} : { judge: host.judge };
    const request = { account, requestId, source: source.data, submit: wanted.data, seed, loadOf, ...judge };
    return showSubmitted(c, host, await remixVideo(host.sql, request), wanted.data.create_key);
  });
}
