/**
 * What replicas of the control plane ask each other, signed like the edge's calls (`signed-call.ts`):
 * `POST /peer/v1/explain` with `ExplainCall`, answered by `ExplainAnswer`. Only the leader knows; others answer nothing.
 */
import { z } from "zod";
import { VideoId } from "./id.ts";
import { BlockedBy, Eta, LIST_LIMIT_MAX } from "./video.ts";

export const ExplainCall = z.strictObject({ ids: z.array(VideoId).max(LIST_LIMIT_MAX) });

export const ExplainAnswer = z.object({
  explained: z.array(
    z.object({
      id: VideoId,
      position: z.int().nonnegative().nullable(),
      eta: Eta.nullable(),
      blocked_by: BlockedBy.nullable(),
    }),
  ),
});
export type ExplainAnswer = z.infer<typeof ExplainAnswer>;
