/** The edge's calls for what is made from a video before, a remix or a promote: parse → usecase → render. */
import { Hono } from "hono";
import type { Context } from "hono";
import type { z } from "zod";
import { promoteVideo } from "#control-plane/usecase/promote-video.ts";
import { remixVideo } from "#control-plane/usecase/remix-video.ts";
import type { DerivedRequest } from "#control-plane/usecase/source-video.ts";
import type { Submitted } from "#control-plane/usecase/submit-job.ts";
import { SubmitPromote, SubmitRemix } from "#protocol/edge-call.ts";
import { refusalOf, renderRefusal } from "#protocol/error.ts";
import { VideoId } from "#protocol/id.ts";
import { jsonOf } from "./signed.ts";
import type { SignedVariables } from "./signed.ts";
import { showSubmitted, webhookRefusal } from "./videos.ts";
import type { VideosHost } from "./videos.ts";

type DeriveContext = Context<{ Variables: SignedVariables }>;

interface Derivation<Submit extends SubmitRemix | SubmitPromote> {
  readonly schema: z.ZodType<Submit>;
  readonly webhookOf: (submit: Submit) => string | undefined;
  readonly make: (request: DerivedRequest<Submit>) => Promise<Submitted>;
}

export function deriveRoutes(host: VideosHost) {
  return new Hono<{ Variables: SignedVariables }>()
    .post("/:id/remix", (c) =>
      derive(c, host, {
        schema: SubmitRemix,
        webhookOf: ({ remix }) => remix.webhook_url,
        make: (request) => remixVideo(host.sql, request),
      }),
    )
    .post("/:id/promote", (c) =>
      derive(c, host, {
        schema: SubmitPromote,
        webhookOf: ({ promote }) => promote.webhook_url,
        make: (request) => promoteVideo(host.sql, request),
      }),
    );
}

async function derive<Submit extends SubmitRemix | SubmitPromote>(
  c: DeriveContext,
  host: VideosHost,
  { schema, webhookOf, make }: Derivation<Submit>,
): Promise<Response> {
  const { account, requestId } = c.var;
  const source = VideoId.safeParse(c.req.param("id"));
  if (!source.success) return renderRefusal({ code: "video_not_found", message: "No such video." }, requestId);
  const wanted = schema.safeParse(jsonOf(c.var.body));
  if (!wanted.success) return renderRefusal(refusalOf(wanted.error), requestId);
  const submit = wanted.data;
  const refused = webhookRefusal(host, webhookOf(submit));
  if (refused !== null) return renderRefusal(refused, requestId);
  const seed = host.randomSeed();
  const loadOf = await host.outlook.read();
  const judge = host.judge === null ? {} : { judge: host.judge };
  const made = await make({ account, requestId, source: source.data, submit, seed, loadOf, ...judge });
  return showSubmitted(c, host, made, submit.create_key);
}
