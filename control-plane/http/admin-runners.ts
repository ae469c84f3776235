/** The operator's routes for runners: who there is, who may join, who may no more. */
import { Hono } from "hono";
import type { Database } from "#control-plane/db/connect.ts";
import { listRunners } from "#control-plane/usecase/administer.ts";
import type { RunnerStanding } from "#control-plane/usecase/administer.ts";
import { issueJoinToken, revokeRunner } from "#control-plane/usecase/runner-identity.ts";
import type { AdminRunnerList } from "#protocol/admin.ts";
import { RunnerId } from "#protocol/id.ts";
import { CreateRunnerToken } from "#protocol/runner-identity.ts";
import type { z } from "zod";
import { parse, refuse, render } from "./admin-body.ts";
import type { AdminEnv } from "./admin-body.ts";

export interface AdminRunnersHost {
  readonly database: Database;
  readonly randomBytes: (count: number) => Uint8Array;
  readonly runnerStates: () => ReadonlyMap<RunnerId, RunnerStanding>;
  /** The leader looks at once, if it is this replica. */
  readonly termsChanged: () => void;
}

export function adminRunnerRoutes({ database, randomBytes, runnerStates, termsChanged }: AdminRunnersHost) {
  return new Hono<AdminEnv>()
    .get("/runners", async (c) => {
      const data = await listRunners(database, runnerStates());
      const list: z.infer<typeof AdminRunnerList> = { object: "list", data: [...data] };
      return c.json(list);
    })
    .post("/runner_tokens", async (c) => {
      const wanted = await parse(c, CreateRunnerToken);
      if (!wanted.ok) return refuse(wanted.refusal);
      return render(c, await issueJoinToken(database.sql, c.var.operator, wanted.value, randomBytes));
    })
    .delete("/runners/:id/secret", async (c) => {
      const id = RunnerId.safeParse(c.req.param("id"));
      if (!id.success) return refuse({ code: "not_found", message: "No such runner has a secret." });
      const revoked = await revokeRunner(database.sql, c.var.operator, id.data);
      if (!revoked.ok) return refuse(revoked.refusal);
      termsChanged();
      return c.json({ id: revoked.value.id, object: "runner_secret.deleted", deleted: true });
    });
}
