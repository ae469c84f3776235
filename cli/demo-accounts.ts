/** The demo accounts of a development stack: made once through the admin API, made anew when the database is new. */
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { z } from "zod";
import { AdminAccount, AdminGrant, AdminKey } from "#protocol/admin.ts";
import { callAdmin, type Listener } from "./admin-call.ts";
import { DEMO_TIERS, DemoAccounts, type DemoTier } from "./dev-file.ts";
import { readJson, writePrivately } from "./home.ts";

const GRANT_CREDITS = "1000000";
const CHECK_TRIES_MAX = 50;
const CHECK_PAUSE_MS = 100;
const CALL_MS = 10_000;

export async function keepDemoAccounts(home: string, edgeUrl: string, admin: Listener): Promise<DemoAccounts> {
  const file = join(home, "accounts.json");
  const kept = DemoAccounts.safeParse(readJson(file));
  if (kept.success && (await areKnown(edgeUrl, kept.data))) return kept.data;
  const made = DemoAccounts.parse(
    Object.fromEntries(
      await Promise.all(DEMO_TIERS.map(async (tier) => [tier, await makeAccount(admin, tier)] as const)),
    ),
  );
  writePrivately(file, made);
  if (!(await areKnown(edgeUrl, made))) throw new Error("The edge refuses the keys of the new demo accounts.");
  return made;
}

/** Asks through the edge, so that it also shows that edge and control plane understand each other. */
async function areKnown(edgeUrl: string, accounts: DemoAccounts): Promise<boolean> {
  for (let i = 0; i < CHECK_TRIES_MAX; i++) {
    const answers = await Promise.all(DEMO_TIERS.map((tier) => statusOf(edgeUrl, accounts[tier].api_key)));
    if (answers.every((status) => status === 200)) return true;
    if (answers.includes(401)) return false;
    await sleep(CHECK_PAUSE_MS);
  }
  throw new Error(`The edge at ${edgeUrl} does not reach the control plane.`);
}

async function statusOf(edgeUrl: string, apiKey: string): Promise<number> {
  const answer = await fetch(`${edgeUrl}/v1/videos?limit=1`, {
    headers: { authorization: `Bearer ${apiKey}` },
    signal: AbortSignal.timeout(CALL_MS),
  });
  await answer.arrayBuffer();
  return answer.status;
}

async function makeAccount(admin: Listener, tier: DemoTier): Promise<z.input<typeof DemoAccounts>[DemoTier]> {
  const account = await callAdmin(admin, "/admin/v1/accounts", { name: `demo ${tier}`, tier }, AdminAccount);
  const grant = { account_id: account.id, amount: GRANT_CREDITS };
  await callAdmin(admin, "/admin/v1/grants", grant, AdminGrant);
  const key = await callAdmin(admin, `/admin/v1/accounts/${account.id}/keys`, {}, AdminKey);
  if (key.api_key === undefined) throw new Error("The admin API made a key but did not show it.");
  return { id: account.id, api_key: key.api_key };
}
