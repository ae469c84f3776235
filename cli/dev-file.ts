/**
 * `$CALLSHEET_HOME/dev.json`: how scripts and tests find a running stack. Written last, when everything answers;
 * rewritten in one step when a part was started again; removed at stop.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { AccountId } from "#protocol/id.ts";
import { writePrivately } from "./home.ts";

export const DEMO_TIERS = ["free", "plus", "pro"] as const;
export type DemoTier = (typeof DEMO_TIERS)[number];

export const DemoAccount = z.object({ id: AccountId, api_key: z.string() });
export const DemoAccounts = z.object({ free: DemoAccount, plus: DemoAccount, pro: DemoAccount });
export type DemoAccounts = z.infer<typeof DemoAccounts>;

const Pid = z.int().positive();

export const DevFile = z.object({
  edge_url: z.url(),
  admin_url: z.url(),
  admin_token: z.string(),
  database_url: z.string(),
  accounts: DemoAccounts,
  /** `edge` owns the public port; `postgres` is null when the server is not ours. */
  pids: z.object({
    edge: Pid,
    control_plane: z.array(Pid).min(1),
    postgres: Pid.nullable(),
    runners: z.array(Pid),
  }),
});
export type DevFile = z.infer<typeof DevFile>;

export function writeDevFile(home: string, content: DevFile): void {
  writePrivately(join(home, "dev.json"), DevFile.parse(content));
}

export function removeDevFile(home: string): void {
  rmSync(join(home, "dev.json"), { force: true });
}
