/** The edge's calls about videos: parse → usecase → render. */
import { Readable } from "node:stream";
import { Hono } from "hono";
import type { Context } from "hono";
import { PHASE_OF } from "#control-plane/core/job.ts";
import { THROTTLED, UNEXPLAINED, videoOf } from "#control-plane/core/job-view.ts";
import type { Explanation } from "#control-plane/core/job-view.ts";
import type { PromptToJudge, Verdict } from "#control-plane/core/moderation.ts";
import type { Sql } from "#control-plane/db/connect.ts";
import type { JobWithUsage } from "#control-plane/db/jobs.ts";
import type { ArtifactStore } from "#control-plane/store/artifact-store.ts";
import { thumbnailRange } from "#control-plane/store/mp4-thumbnail.ts";
import type { AdmissionOutlook } from "#control-plane/usecase/admission-outlook.ts";
import { cancelVideo, deleteVideo } from "#control-plane/usecase/change-video.ts";
import { estimateVideo } from "#control-plane/usecase/estimate-video.ts";
import { readUsage, readVideo, readVideos } from "#control-plane/usecase/read-account.ts";
import { submitJob } from "#control-plane/usecase/submit-job.ts";
import type { Submitted } from "#control-plane/usecase/submit-job.ts";
import { EstimateVideo, SubmitVideo } from "#protocol/edge-call.ts";
import { refusalOf, renderRefusal } from "#protocol/error.ts";
import type { Refusal } from "#protocol/error.ts";
import { IDEMPOTENCY_REPLAYED_HEADER } from "#protocol/idempotency.ts";
import { VideoId } from "#protocol/id.ts";
import type { AccountId, CreateKey } from "#protocol/id.ts";
import { THUMBNAIL_MEDIA_TYPE } from "#protocol/mp4-thumbnail.ts";
import { ListQuery, STATUS_OF } from "#protocol/video.ts";
import type { Video, VideoDeleted, VideoList } from "#protocol/video.ts";
import { byteRange } from "./byte-range.ts";
import { referenceOf } from "./reference.ts";
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
  /** The operator's moderation hook; null: there is none. */
  readonly judge: ((prompt: PromptToJudge) => Promise<Verdict | null>) | null;
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
  const { webhook_url: webhookUrl, input_reference: reference } = wanted.data.video;
  const refused = webhookRefusal(host, webhookUrl);
  if (refused !== null) return refuse(c, refused);
  const submitted = await submitJob(host.sql, {
    account: c.var.account,
    requestId: c.var.requestId,
    submit: wanted.data,
    reference: reference === undefined ? null : referenceOf(host.store, reference),
    ...(host.judge === null ? {} : { judge: host.judge }),
    seed: host.randomSeed(),
    loadOf: await host.outlook.read(),
  });
  return showSubmitted(c, host, submitted, wanted.data.create_key);
}

export function webhookRefusal(host: VideosHost, url: string | undefined): Refusal | null {
  const fault = url === undefined ? null : host.webhookGuard.fault(url);
  return fault === null
    ? null
    : { code: "invalid_value", param: "webhook_url", message: `Invalid 'webhook_url': ${fault}` };
}

export async function showSubmitted(
  c: SignedContext,
  host: VideosHost,
  submitted: Submitted,
  createKey: CreateKey,
): Promise<Response> {
  if (!submitted.ok) return refuse(c, submitted.refusal);
  host.wake();
  // Nobody has looked at a new job yet, but for what its account runs. A repeated create answers with the job as it is now, its settled charge included.
  const { job } = submitted;
  const usage = await readUsage(host.sql, job.id);
  if (!submitted.repeated) return c.json(videoOf(job, usage, submitted.throttled ? THROTTLED : UNEXPLAINED));
  // Another create of this idempotency key made it; one of the same create key is the edge's own second try.
  if (job.createKey !== createKey) c.header(IDEMPOTENCY_REPLAYED_HEADER, "true");
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
  // A result that is withheld is there, and shown to nobody.
  if (job.state !== "completed" || job.artifactKey === null || job.artifactSha256 === null) {
    const message = `The video has no content: its status is '${STATUS_OF[job.state]}'.`;
    return refuse(c, { code: "video_not_ready", message });
  }
  const stored = await store.stat(job.artifactKey);
  if (stored === null)
    return refuse(c, { code: "video_expired", message: "The video's content is not kept any more." });
  if (c.req.query("variant") === "thumbnail") return thumbnail(c, store, job.artifactKey, stored.bytes);
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

async function thumbnail(c: SignedContext, store: ArtifactStore, key: string, bytes: number): Promise<Response> {
  const range = await thumbnailRange(store, key, bytes);
  if (range === null) {
    const message = "This video has no thumbnail: its engine made none.";
    return refuse(c, { code: "unsupported_operation", param: "variant", message });
  }
  const headers = {
    "content-type": THUMBNAIL_MEDIA_TYPE,
    "content-length": String(range.end - range.start + 1),
    "x-request-id": c.var.requestId,
  };
  return new Response(Readable.toWeb(store.read(key, range)) as ReadableStream, { headers });
}

function refuse(c: SignedContext, refusal: Refusal): Response {
  return renderRefusal(refusal, c.var.requestId);
}
