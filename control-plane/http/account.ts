/** The edge's other calls for an account: keys, limits, models, events, the live subscription and its snapshot. */
import { Hono } from "hono";
import { z } from "zod";
import { PHASE_OF } from "#control-plane/core/job.ts";
import { standingOf, UNEXPLAINED } from "#control-plane/core/job-view.ts";
import type { Explanation } from "#control-plane/core/job-view.ts";
import type { Database } from "#control-plane/db/connect.ts";
import { setSubscription } from "#control-plane/usecase/live-session.ts";
import { readSnapshot } from "#control-plane/usecase/read-snapshot.ts";
import { checkKey, readEvents } from "#control-plane/usecase/read-account.ts";
import { readModels, readStanding } from "#control-plane/usecase/read-offer.ts";
import { AskSnapshot, EVENT_PAGE_MAX, KeyCheck, Subscribe } from "#protocol/edge-call.ts";
import type { SnapshotAnswer } from "#protocol/edge-call.ts";
import { refusalOf, renderRefusal } from "#protocol/error.ts";
import type { AccountId, VideoId } from "#protocol/id.ts";
import { jsonOf } from "./signed.ts";
import type { SignedVariables } from "./signed.ts";

const EventsQuery = z.strictObject({
  after: z.coerce.number().pipe(z.int().nonnegative()).default(0),
  limit: z.coerce.number().pipe(z.int().min(1).max(EVENT_PAGE_MAX)).default(EVENT_PAGE_MAX),
});

export interface AccountHost {
  readonly database: Database;
  /** Why these jobs of the account wait, as far as the leader says so in time. */
  readonly explain: (account: AccountId, ids: readonly VideoId[]) => Promise<ReadonlyMap<VideoId, Explanation>>;
  /** A live session began or ended: the edge sender looks at once. */
  readonly wakeSender: () => void;
}

export function accountRoutes({ database, explain, wakeSender }: AccountHost) {
  return new Hono<{ Variables: SignedVariables }>()
    .post("/keys/check", async (c) => {
      const { key_sha256 } = KeyCheck.parse(jsonOf(c.var.body));
      const answer = await checkKey(database.sql, c.var.account, key_sha256);
      if (answer !== null) return c.json(answer);
      return renderRefusal({ code: "not_found", message: "The key is unknown or revoked." }, c.var.requestId);
    })
    .get("/limits", async (c) => {
      const standing = await readStanding(database.sql, c.var.account);
      if (standing !== null) return c.json(standing);
      return renderRefusal({ code: "not_found", message: "The account does not exist." }, c.var.requestId);
    })
    .get("/models", async (c) => c.json(await readModels(database.sql)))
    .get("/events", async (c) => {
      const query = EventsQuery.safeParse(c.req.query());
      if (!query.success) return renderRefusal(refusalOf(query.error), c.var.requestId);
      return c.json(await readEvents(database.sql, c.var.account, query.data.after, query.data.limit));
    })
    .post("/snapshot", async (c) => {
      const { video_ids } = AskSnapshot.parse(jsonOf(c.var.body));
      const { last, videos, hasMore } = await readSnapshot(database.sql, c.var.account, video_ids);
      const waiting = videos.filter((job) => PHASE_OF[job.state] === "waiting");
      const explained = await explain(
        c.var.account,
        waiting.map((job) => job.id),
      );
      const answer: SnapshotAnswer = {
        last_sequence_number: last,
        videos: videos.map((job) => standingOf(job, explained.get(job.id) ?? UNEXPLAINED)),
        has_more: hasMore,
      };
      return c.json(answer);
    })
    .put("/subscription", async (c) => {
      const { live } = Subscribe.parse(jsonOf(c.var.body));
      const last = await setSubscription(database.sql, c.var.account, live);
      wakeSender();
      return c.json({ last_sequence_number: last });
    });
}
