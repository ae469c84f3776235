/** The operator's routes for what may change while everything runs; the bearer token was checked before. */
import { Hono } from "hono";
import type { SchedulerLimits } from "#control-plane/core/scheduler/limits.ts";
import type { Database } from "#control-plane/db/connect.ts";
import type { Answer } from "#control-plane/usecase/admin-answer.ts";
import { changeModel, endClass, listModels, putClass, putModel } from "#control-plane/usecase/set-classes.ts";
import {
  changeAccount,
  changeLimits,
  drainRunner,
  listTiers,
  putTier,
  readLimits,
  readTier,
} from "#control-plane/usecase/set-terms.ts";
import { PatchAccount, PatchRunner } from "#protocol/admin.ts";
import {
  ClassName,
  ModelName,
  PatchLimits,
  PatchModel,
  PutModel,
  PutModelClass,
  PutTier,
  TierName,
} from "#protocol/admin-terms.ts";
import { AccountId, RunnerId } from "#protocol/id.ts";
import type { z } from "zod";
import { parse, refuse, render } from "./admin-body.ts";
import type { AdminContext, AdminEnv } from "./admin-body.ts";

export interface TermsHost {
  readonly database: Database;
  /** The environment's thresholds, where the operator set no other. */
  readonly limits: SchedulerLimits;
  /** The leader looks at once, if it is this replica. */
  readonly termsChanged: () => void;
}

export function termsRoutes({ database, limits, termsChanged }: TermsHost) {
  /** Parses the body, acts, wakes the leader. */
  async function change<Schema extends z.ZodType, Value extends object>(
    c: AdminContext,
    schema: Schema,
    act: (wanted: z.infer<Schema>) => Promise<Answer<Value>>,
  ): Promise<Response> {
    const wanted = await parse(c, schema);
    if (!wanted.ok) return refuse(wanted.refusal);
    const answer = await act(wanted.value);
    if (answer.ok) termsChanged();
    return render(c, answer);
  }

  return new Hono<AdminEnv>()
    .get("/tiers", async (c) => c.json({ object: "list", data: await listTiers(database) }))
    .get("/tiers/:name", async (c) => render(c, await readTier(database, c.req.param("name"))))
    .put("/tiers/:name", async (c) => {
      const name = TierName.safeParse(c.req.param("name"));
      if (!name.success) return invalid("name", name.error);
      return change(c, PutTier, (wanted) => putTier(database, c.var.operator, name.data, wanted));
    })
    .patch("/accounts/:id", async (c) => {
      const id = AccountId.safeParse(c.req.param("id"));
      if (!id.success) return refuse({ code: "not_found", message: "No such account." });
      return change(c, PatchAccount, (wanted) => changeAccount(database, c.var.operator, id.data, wanted));
    })
    .get("/models", async (c) => c.json({ object: "list", data: await listModels(database) }))
    .put("/models/:name", async (c) => {
      const name = ModelName.safeParse(c.req.param("name"));
      if (!name.success) return invalid("name", name.error);
      return change(c, PutModel, (wanted) => putModel(database, c.var.operator, name.data, wanted));
    })
    .patch("/models/:name", (c) =>
      change(c, PatchModel, (wanted) => changeModel(database, c.var.operator, c.req.param("name"), wanted)),
    )
    .put("/models/:name/classes/:class{.+}", async (c) => {
      const name = ClassName.safeParse(c.req.param("class"));
      if (!name.success) return invalid("class", name.error);
      return change(c, PutModelClass, (wanted) =>
        putClass(database, c.var.operator, c.req.param("name"), name.data, wanted),
      );
    })
    .delete("/models/:name/classes/:class{.+}", async (c) => {
      const answer = await endClass(database, c.var.operator, c.req.param("name"), c.req.param("class"));
      termsChanged();
      return render(c, answer);
    })
    .patch("/runners/:id", async (c) => {
      const id = RunnerId.safeParse(c.req.param("id"));
      if (!id.success) return refuse({ code: "not_found", message: "No such runner." });
      return change(c, PatchRunner, ({ drained }) => drainRunner(database, c.var.operator, id.data, drained));
    })
    .get("/scheduler/limits", async (c) => c.json(await readLimits(database, limits)))
    .patch("/scheduler/limits", (c) =>
      change(c, PatchLimits, (wanted) => changeLimits(database, c.var.operator, limits, wanted)),
    );
}

function invalid(param: string, error: z.ZodError): Response {
  const message = `Invalid '${param}': ${error.issues[0]?.message ?? ""}`;
  return refuse({ code: "invalid_value", param, message });
}
