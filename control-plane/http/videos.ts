/** The edge's calls about videos: parse → usecase → render. */
import { Readable } from "node:stream";
import { Hono } from "hono";
import type { Context } from "hono";
import { PHASE_OF } from "#control-plane/core/job.ts";
import { UNEXPLAINED, videoOf } from "#control-plane/core/job-view.ts";
import type { Explanation } from "#control-plane/core/job-view.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import type { JobWithUsage } from "#control-plane/db/jobs.ts";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";
import type { AdmissionOutlook } from "#control-plane/usecase/admission-outlook.ts";
import { cancelVideo, deleteVideo } from "#control-plane/usecase/change-video.ts";
import { estimateVideo } from "#control-plane/usecase/estimate-video.ts";
import { readUsage, readVideo, readVideos } from "#control-plane/usecase/read-account.ts";
import { submitJob } from "#control-plane/usecase/submit-job.ts";
import { EstimateVideo, SubmitVideo } from "#protocol/edge-call.ts";
import { refusalOf, renderRefusal } from "#protocol/error.ts";
import type { Refusal } from "#protocol/error.ts";
import type { InputReference } from "#protocol/create-video.ts";
import { VideoId } from "#protocol/id.ts";
import type { AccountId } from "#protocol/id.ts";
import { ListQuery, STATUS_OF } from "#protocol/video.ts";
import type { Video, VideoDeleted, VideoList } from "#protocol/video.ts";
import { byteRange } from "./byte-range.ts";
import { storeReference } from "./reference.ts";
import { jsonOf } from "./signed.ts";
import type { SignedVariables } from "./signed.ts";
import type { WebhookGuard } from "./webhooks.ts";

export interface VideosHost {
  readonly sql: Sql;
  readonly store: ArtifactStore;
  readonly now: () => number;
  readonly randomSeed: () => number;
  /** Why these jobs of the account wait, as far as the leader says so in time. */
  readonly explain: (account: AccountId, ids: readonly VideoId[]) => Promise<ReadonlyMap<VideoId, Explanation>>;
  readonly outlook: AdmissionOutlook;
  readonly webhookGuard: WebhookGuard;
  /** Work was added or withdrawn: the scheduler looks at its mail at once. */
  readonly wake: () => void;
}

type SignedContext = Context<{ Variables: SignedVariables }>;

const NOT_FOUND: Refusal = { code: "video_not_found", message: "No such video." };

export function videoRoutes(host: VideosHost) {
  const show = async (c: SignedContext, video: JobWithUsage) => {
    const [shown] = await showVideos(host, c.var.account, [video]);
    return c.json(shown);
  };

  return new Hono<{ Variables: SignedVariables }>()
    .post("/", (c) => submit(c, host))
    .post("/estimate", (c) => estimate(c, host))
    .get("/", (c) => list(c, host))
    .get("/:id", (c) =>
      withVideo(
        c,
        (id) => readVideo(host.sql, c.var.account, id),
        (video) => show(c, video),
      ),
    )
    .delete("/:id", (c) =>
      withVideo(
        c,
        (id) => deleteVideo(host.sql, c.var.account, id),
        async ({ job }) => {
          host.wake();
          if (job.artifactKey !== null) await host.store.remove(job.artifactKey);
          const deleted: VideoDeleted = { id: job.id, object: "video.deleted", deleted: true };
          return c.json(deleted);
        },
      ),
    )
    .post("/:id/cancel", (c) =>
      withVideo(
        c,
        (id) => cancelVideo(host.sql, c.var.account, id),
        (video) => {
          host.wake();
          return show(c, video);
        },
      ),
    )
    .get("/:id/content", (c) =>
      withVideo(
        c,
        (id) => readVideo(host.sql, c.var.account, id),
        (video) => content(c, host.store, video),
      ),
    );
}

async function submit(c: SignedContext, host: VideosHost): Promise<Response> {
  const wanted = SubmitVideo.safeParse(jsonOf(c.var.body));
  if (!wanted.success) return refuse(c, refusalOf(wanted.error));
  const { webhook_url: webhookUrl } = wanted.data.video;
  const fault = webhookUrl === undefined ? null : host.webhookGuard.fault(webhookUrl);
  if (fault !== null) {
    return refuse(c, { code: "invalid_value", param: "webhook_url", message: `Invalid 'webhook_url': ${fault}` });
  }
  const submitted = await submitJob(host.sql, {
    account: c.var.account,
    requestId: c.var.requestId,
    submit: wanted.data,
    reference: await keepReference(host, wanted.data.video.input_reference),
    seed: host.randomSeed(),
    loadOf: await host.outlook.read(),
  });
  if (!submitted.ok) return refuse(c, submitted.refusal);
  host.wake();
  // Nobody has looked at a new job yet. A repeated create answers with the job as it is now, its settled charge included.
  const { job } = submitted;
  const usage = await readUsage(host.sql, job.id);
  if (!submitted.repeated) return c.json(videoOf(job, usage, UNEXPLAINED));
  const repeated = await readVideo(host.sql, c.var.account, job.id);
  const [shown] = await showVideos(host, c.var.account, [repeated ?? { job, usage }]);
  return c.json(shown);
}

async function estimate(c: SignedContext, host: VideosHost): Promise<Response> {
  const wanted = EstimateVideo.safeParse(jsonOf(c.var.body));
  if (!wanted.success) return refuse(c, refusalOf(wanted.error));
  const estimated = await estimateVideo(host.sql, c.var.account, wanted.data.video, await host.outlook.read());
  return estimated.ok ? c.json(estimated.value) : refuse(c, estimated.refusal);
}

async function list(c: SignedContext, host: VideosHost): Promise<Response> {
  const query = ListQuery.safeParse(c.req.query());
  if (!query.success) return refuse(c, refusalOf(query.error));
  const { page, hasMore } = await readVideos(host.sql, c.var.account, query.data);
  const data = await showVideos(host, c.var.account, page);
  const answer: VideoList = {
    object: "list",
    data: [...data],
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null,
    has_more: hasMore,
  };
  return c.json(answer);
}

async function showVideos(
  host: VideosHost,
  account: AccountId,
  videos: readonly JobWithUsage[],
): Promise<readonly Video[]> {
  const waiting = videos.filter(({ job }) => PHASE_OF[job.state] === "waiting");
  const explained = await host.explain(
    account,
    waiting.map(({ job }) => job.id),
  );
  return videos.map(({ job, usage }) => videoOf(job, usage, explained.get(job.id) ?? UNEXPLAINED));
}

function keepReference(host: VideosHost, reference: InputReference | undefined) {
  return reference === undefined ? null : storeReference(host.store, reference);
}

/** An id of the wrong shape, an unknown one and another account's are the same 404. */
async function withVideo(
  c: SignedContext,
  load: (id: VideoId) => Promise<JobWithUsage | null>,
  render: (video: JobWithUsage) => Response | Promise<Response>,
): Promise<Response> {
  const id = VideoId.safeParse(c.req.param("id"));
  const video = id.success ? await load(id.data) : null;
  return video === null ? refuse(c, NOT_FOUND) : render(video);
}

async function content(c: SignedContext, store: ArtifactStore, { job }: JobWithUsage): Promise<Response> {
  if (job.artifactKey === null || job.artifactSha256 === null) {
    const message = `The video has no content: its status is '${STATUS_OF[job.state]}'.`;
    return refuse(c, { code: "video_not_ready", message });
  }
  const stored = await store.stat(job.artifactKey);
  if (stored === null)
    return refuse(c, { code: "video_expired", message: "The video's content is not kept any more." });
  const range = byteRange(c.req.header("range") ?? null, stored.bytes);
  const headers = new Headers({
    "content-type": "video/mp4",
    "content-disposition": `attachment; filename="${job.id}.mp4"`,
    "accept-ranges": "bytes",
    etag: `"${job.artifactSha256}"`,
    "x-request-id": c.var.requestId,
  });
  if (range.kind === "unsatisfiable") {
    return refuse(c, {
      code: "range_not_satisfiable",
      param: "range",
      message: `The video has ${stored.bytes} bytes.`,
    });
  }
  const { start, end } = range.kind === "part" ? range : { start: 0, end: stored.bytes - 1 };
  headers.set("content-length", String(end - start + 1));
  if (range.kind === "part") headers.set("content-range", `bytes ${start}-${end}/${stored.bytes}`);
  const body = Readable.toWeb(store.read(job.artifactKey, { start, end }));
  return new Response(body as ReadableStream, { status: range.kind === "part" ? 206 : 200, headers });
}

function refuse(c: SignedContext, refusal: Refusal): Response {
  return renderRefusal(refusal, c.var.requestId);
}
