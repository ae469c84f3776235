/** The operator's routes for credits: grants, voids, adjustments, refunds, the journal as a file. */
import { Hono } from "hono";
import { createGrant } from "#control-plane/usecase/administer.ts";
import type { Database } from "#control-plane/db/connect.ts";
import { adjust, refundVideo, voidGrant } from "#control-plane/usecase/credits.ts";
import type { Acted } from "#control-plane/usecase/credits.ts";
import { journalCsv } from "#control-plane/usecase/export-journal.ts";
import type { Answer } from "#control-plane/usecase/admin-answer.ts";
import { CreateGrant } from "#protocol/admin.ts";
import { CreateAdjustment, CreateRefund, JournalQuery, VoidGrant } from "#protocol/admin-credits.ts";
import type { AdminCreditAct } from "#protocol/admin-credits.ts";
import { refusalOf } from "#protocol/error.ts";
import { IDEMPOTENCY_KEY_HEADER, IDEMPOTENCY_REPLAYED_HEADER, readIdempotencyKey } from "#protocol/idempotency.ts";
import { creditsText, milliCreditsOf } from "#protocol/unit.ts";
import type { z } from "zod";
import { parse, refuse, render } from "./admin-body.ts";
import type { AdminContext, AdminEnv } from "./admin-body.ts";

export function adminCreditRoutes(database: Database) {
  const { sql } = database;
  return new Hono<AdminEnv>()
    .post("/grants", (c) =>
      once(c, CreateGrant, async (wanted, key) => render(c, await createGrant(database, c.var.operator, wanted, key))),
    )
    .post("/grants/:id/void", (c) =>
      once(c, VoidGrant, async ({ reason }, key) =>
        acted(c, await voidGrant(sql, c.var.operator, c.req.param("id"), reason, key)),
      ),
    )
    .post("/adjustments", (c) =>
      once(c, CreateAdjustment, async ({ account_id: account, amount, reason }, key) =>
        acted(c, await adjust(sql, c.var.operator, account, milliCreditsOf(amount), reason, key)),
      ),
    )
    .post("/refunds", (c) =>
      once(c, CreateRefund, async ({ video_id: video, reason }, key) =>
        acted(c, await refundVideo(sql, c.var.operator, video, reason, key)),
      ),
    )
    .get("/journal.csv", (c) => {
      const query = JournalQuery.safeParse(c.req.query());
      if (!query.success) return refuse(refusalOf(query.error));
      const { from, to } = query.data;
      // The file ends where the export began, however long it takes to be read.
      return csvFile(journalCsv(sql, new Date(from ?? 0), to === undefined ? new Date() : new Date(to)));
    });
}

/** An act needs a key, so that a lost answer can be asked for again without a second act. */
async function once<Schema extends z.ZodType>(
  c: AdminContext,
  schema: Schema,
  act: (wanted: z.infer<Schema>, key: string) => Promise<Response>,
): Promise<Response> {
  const read = readIdempotencyKey(c.req.header(IDEMPOTENCY_KEY_HEADER));
  if (!read.ok) return refuse(read.refusal);
  const wanted = await parse(c, schema);
  return wanted.ok ? act(wanted.value, read.key) : refuse(wanted.refusal);
}

function acted(c: AdminContext, answer: Answer<Acted>): Response {
  if (!answer.ok) return refuse(answer.refusal);
  const { act, account, at, amount, entries, repeated } = answer.value;
  if (repeated) c.header(IDEMPOTENCY_REPLAYED_HEADER, "true");
  const view: AdminCreditAct = {
    id: `act_${act}`,
    object: "credit_act",
    account_id: account,
    amount: creditsText(amount),
    entries: entries.map((entry) => ({ grant_id: entry.grantId, amount: creditsText(entry.amount) })),
    created_at: Math.floor(at.getTime() / 1_000),
  };
  return c.json(view);
}

/** Rows are read as the client takes them, so an export of any length holds one batch in memory. */
function csvFile(rows: AsyncGenerator<string>): Response {
  const encoder = new TextEncoder();
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const next = await rows.next();
      if (next.done === true) controller.close();
      else controller.enqueue(encoder.encode(next.value));
    },
    async cancel() {
      await rows.return(undefined);
    },
  });
  const headers = {
    "content-type": "text/csv; charset=utf-8",
    "content-disposition": 'attachment; filename="journal.csv"',
  };
  return new Response(body, { headers });
}
