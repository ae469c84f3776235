import { afterAll, beforeAll, expect, test } from "vitest";
import type { z } from "zod";
import { readBalance, readGrants, readTransactions } from "#control-plane/usecase/read-credits.ts";
import { estimateVideo } from "#control-plane/usecase/estimate-video.ts";
import { AdmissionOutlook, publishOutlooks } from "#control-plane/usecase/admission-outlook.ts";
import { takeLeadership } from "#control-plane/db/leader.ts";
import { AdminCreditAct } from "#protocol/admin-credits.ts";
import { AdminGrant } from "#protocol/admin.ts";
import { CreateVideo } from "#protocol/create-video.ts";
import { GrantQuery, TransactionQuery } from "#protocol/credits.ts";
import type { AccountId } from "#protocol/id.ts";
import { callAdmin, requestAdmin } from "#tests/support/leader.ts";
import { Studio, TINY } from "#tests/support/studio.ts";

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(() => studio.close());

const inHours = (hours: number) => new Date(Date.now() + hours * 3_600_000).toISOString();
const act = (path: string, body: unknown, key: string) =>
  callAdmin(studio, "POST", path, body, { "idempotency-key": key });
const transactions = (account: AccountId, query: z.input<typeof TransactionQuery> = {}) =>
  readTransactions(studio.sql, account, TransactionQuery.parse(query));

test("a balance says what is held, what is free, what comes later and what will be lost when", async () => {
  const [soon, later] = [inHours(1), inHours(2)];
  const account = await studio.account(
    "pro",
    { amount: "10" },
    { amount: "2", expires_at: later },
    { amount: "1", expires_at: soon },
    { amount: "7", effective_at: later },
    { amount: "4", effective_at: inHours(-2), expires_at: inHours(-1) },
  );
  await studio.submitted(account);
  expect(await readBalance(studio.sql, account)).toEqual({
    object: "credit_balance",
    unit: "credits",
    settled: "13",
    held: "0.25",
    available: "12.75",
    pending: "7",
    // The soonest end pays first.
    expiring: [
      { grant_id: expect.any(String) as string, amount: "0.75", at: Math.floor(Date.parse(soon) / 1_000) },
      { grant_id: expect.any(String) as string, amount: "2", at: Math.floor(Date.parse(later) / 1_000) },
    ],
  });
});

test("grants and transactions come in pages that neither repeat nor skip, in both orders", async () => {
  const account = await studio.account("pro", ...Array.from({ length: 5 }, (_, n) => ({ amount: `${n + 1}` })));
  await studio.submitted(account);
  for (const order of ["asc", "desc"] as const) {
    const grants: string[] = [];
    const entries: string[] = [];
    for (let more = true, after: string | undefined; more;) {
      const page = await readGrants(studio.sql, account, GrantQuery.parse({ limit: 2, order, after }));
      expect([page.first_id, page.last_id]).toEqual([page.data[0]?.id, page.data.at(-1)?.id]);
      grants.push(...page.data.map(({ amount }) => amount));
      [more, after] = [page.has_more, page.last_id ?? undefined];
    }
    for (let more = true, after: string | undefined; more;) {
      const page = await transactions(account, { limit: 4, order, after });
      entries.push(...page.data.map(({ type }) => type));
      [more, after] = [page.has_more, page.last_id ?? undefined];
    }
    const [amounts, types] = [
      ["1", "2", "3", "4", "5"],
      [...Array.from({ length: 5 }, () => "funded"), "held"],
    ];
    expect(grants).toEqual(order === "asc" ? amounts : amounts.toReversed());
    expect(entries).toEqual(order === "asc" ? types : types.toReversed());
  }
  const stranger = await studio.account("pro");
  expect((await transactions(stranger)).data).toEqual([]);
});

test("a transaction tells the free credits before and after it", async () => {
  const account = await studio.account("pro", { amount: "1" });
  const job = await studio.submitted(account);
  const { data } = await transactions(account, { order: "asc" });
  expect(data).toMatchObject([
    { type: "funded", amount: "1", video_id: null, available: { before: "0", after: "1" } },
    { type: "held", amount: "0.25", video_id: job.id, available: { before: "1", after: "0.75" } },
  ]);
});

test("an estimate says price, funds and start, and leaves no trace", async () => {
  const epoch = await takeLeadership(studio.sql, "test", null, 60_000);
  const outlook = { tier: "free", class: "reference|192p/1s", queued: 3, backlogMs: 9_000 };
  await publishOutlooks(studio.sql, epoch ?? 0, [{ ...outlook, start: { p50Ms: 100_500, p90Ms: 200_000 } }]);
  const account = await studio.account("free", { amount: "0.5" });
  const estimate = async (request: object) =>
    estimateVideo(
      studio.sql,
      account,
      CreateVideo.parse(request),
      await new AdmissionOutlook(studio.sql, Date.now).read(),
    );
  const tiny = {
    object: "video.estimate",
    model: "reference",
    class: "192p/1s",
    size: "320x192",
    seconds: "1",
    unit: "credits",
    price: "0.25",
    available: "0.5",
    would_be_accepted: true,
    refusal: null,
    start: { p50: 101, p90: 200 },
  };
  expect(await estimate(TINY)).toEqual({ ok: true, value: tiny });
  expect(await estimate({ ...TINY, steps: 30 })).toMatchObject({
    value: {
      price: "0.75",
      would_be_accepted: false,
      refusal: { code: "insufficient_credits", required: "0.75", available: "0.5" },
    },
  });
  await publishOutlooks(studio.sql, epoch ?? 0, [{ ...outlook, start: { p50Ms: 8_000_000, p90Ms: 9_000_000 } }]);
  expect(await estimate(TINY)).toMatchObject({
    value: { would_be_accepted: false, refusal: { code: "queue_full", start_bound_seconds: 7_200 } },
  });
  expect(await estimate({ prompt: "x", model: "sora-9" })).toMatchObject({ ok: false, refusal: { param: "model" } });
  expect(await studio.sql`select 1 from job where account_id = ${account}`).toHaveLength(0);
  expect((await transactions(account)).data).toHaveLength(1);
  expect(await studio.eventTypes(account)).toEqual([]);
  await studio.sql`delete from admission_summary`;
});

test("a grant that is sent twice under one key is one grant; another one under that key is refused", async () => {
  const account = await studio.account("pro");
  const grant = { account_id: account, amount: "5", category: "plan", expires_at: inHours(24) };
  const answers = await Promise.all(Array.from({ length: 8 }, () => act("/grants", grant, "order-1")));
  expect(new Set(answers.map(({ body }) => AdminGrant.parse(body).id)).size).toBe(1);
  expect(answers.every(({ status }) => status === 200)).toBe(true);
  expect(await act("/grants", { ...grant, amount: "6" }, "order-1")).toMatchObject({
    status: 422,
    body: { error: { code: "idempotency_key_reuse" } },
  });
  // Another act under the same key is another request, too.
  expect((await act("/adjustments", { account_id: account, amount: "5", reason: "x" }, "order-1")).status).toBe(422);
  expect((await readBalance(studio.sql, account)).available).toBe("5");
});

test("an adjustment adds or takes credits once, and never more than there are", async () => {
  const account = await studio.account("pro", { amount: "1" }, { amount: "2" });
  const wanted = { account_id: account, amount: "-1.5", reason: "a chargeback" };
  const first = await act("/adjustments", wanted, "chargeback-1");
  expect(first).toMatchObject({ status: 200, body: { object: "credit_act", amount: "1.5", account_id: account } });
  expect(AdminCreditAct.parse(first.body).entries.map(({ amount }) => amount)).toEqual(["1", "0.5"]);
  expect(await act("/adjustments", wanted, "chargeback-1")).toEqual(first);
  expect((await readBalance(studio.sql, account)).available).toBe("1.5");
  expect(await act("/adjustments", { ...wanted, amount: "-2" }, "chargeback-2")).toMatchObject({
    status: 402,
    body: { error: { required: "2", available: "1.5" } },
  });
  await act("/adjustments", { ...wanted, amount: "0.25", reason: "sorry" }, "sorry-1");
  expect((await transactions(account, { limit: 1 })).data).toMatchObject([{ type: "adjusted", reason: "sorry" }]);
  expect((await readBalance(studio.sql, account)).available).toBe("1.75");
});

test("a voided grant keeps what a video has reserved of it, and nothing else", async () => {
  const account = await studio.account("pro", { amount: "1" });
  await studio.submitted(account);
  const [grant] = (await readGrants(studio.sql, account, GrantQuery.parse({}))).data;
  const path = `/grants/${grant?.id ?? ""}/void`;
  const voided = await act(path, { reason: "fraud" }, "void-1");
  expect(voided).toMatchObject({ status: 200, body: { amount: "0.75" } });
  expect(await act(path, { reason: "fraud" }, "void-1")).toEqual(voided);
  expect(await act(path, { reason: "fraud" }, "void-2")).toMatchObject({ status: 409 });
  expect((await readGrants(studio.sql, account, GrantQuery.parse({}))).data).toMatchObject([
    { status: "voided", amount: "1", remaining: "0", held: "0.25", voided: "0.75" },
  ]);
});

test.each<[string, string, unknown, Record<string, string>, number, string | null]>([
  ["a grant without a key", "/grants", { amount: "1" }, {}, 400, "idempotency-key"],
  ["a void without a key", "/grants/grant_1/void", { reason: "x" }, {}, 400, "idempotency-key"],
  ["an adjustment without a key", "/adjustments", { amount: "1", reason: "x" }, {}, 400, "idempotency-key"],
  ["a key with blanks", "/grants", { amount: "1" }, { "idempotency-key": "a b" }, 400, "idempotency-key"],
  [
    "a key that is too long",
    "/grants",
    { amount: "1" },
    { "idempotency-key": "k".repeat(256) },
    400,
    "idempotency-key",
  ],
  ["a grant of nothing", "/grants", { amount: "0" }, { "idempotency-key": "k" }, 400, "amount"],
  ["a quarter of a milli-credit", "/grants", { amount: "0.0001" }, { "idempotency-key": "k" }, 400, "amount"],
  ["an adjustment by zero", "/adjustments", { amount: "0", reason: "x" }, { "idempotency-key": "k" }, 400, "amount"],
  ["an adjustment without a reason", "/adjustments", { amount: "1" }, { "idempotency-key": "k" }, 400, "reason"],
  ["a void of no grant", "/grants/grant_1/void", { reason: "x" }, { "idempotency-key": "k" }, 404, null],
  [
    "a refund of no video",
    "/refunds",
    { video_id: `video_${"0".repeat(32)}`, reason: "x" },
    { "idempotency-key": "k" },
    404,
    null,
  ],
])("%s is refused and the field is named", async (_what, path, body, headers, status, param) => {
  const account = await studio.account("pro");
  const named = path.startsWith("/grants/") || path === "/refunds" ? {} : { account_id: account };
  const answer = await callAdmin(studio, "POST", path, { ...(body as object), ...named }, headers);
  expect(answer).toMatchObject({ status, body: { error: { param } } });
  expect((await transactions(account)).data).toEqual([]);
});

test("the journal leaves as CSV: every entry once, whole amounts, and no cell that a spreadsheet would run", async () => {
  const account = await studio.account("pro", { amount: "1" });
  const job = await studio.submitted(account);
  await act("/adjustments", { account_id: account, amount: "-0.5", reason: '=HYPERLINK("http://x","y")' }, "k-1");
  const response = await requestAdmin(studio, "GET", "/journal.csv");
  expect(response.headers.get("content-type")).toBe("text/csv; charset=utf-8");
  const [header, ...lines] = (await response.text()).split("\r\n");
  expect(header).toBe(
    "id,at,account_id,type,grant_id,video_id,from_book,to_book,amount_milli,available_effect_milli,available_after_milli,act_id,reason",
  );
  expect(lines.pop()).toBe("");
  const [row] = await studio.sql`select count(*)::int as count from credit_entry`;
  expect(lines).toHaveLength(Number(row?.["count"]));
  const mine = lines.filter((line) => line.includes(account)).map((line) => line.split(",").slice(3));
  expect(
    mine.map(([type, , video, from, to, amount, effect, after]) => [type, video, from, to, amount, effect, after]),
  ).toEqual([
    ["funded", "", "issued", "available", "1000", "1000", "1000"],
    ["held", job.id, "available", "held", "250", "-250", "750"],
    ["adjusted", "", "available", "consumed", "500", "-500", "250"],
  ]);
  expect(lines.find((line) => line.includes("HYPERLINK"))).toContain(`,"'=HYPERLINK(""http://x"",""y"")"`);
  const bounds = `from=${encodeURIComponent(inHours(1))}`;
  expect((await (await requestAdmin(studio, "GET", `/journal.csv?${bounds}`)).text()).split("\r\n")).toHaveLength(2);
  expect((await requestAdmin(studio, "GET", "/journal.csv?from=yesterday")).status).toBe(400);
});
