/**
 * Join tokens for the runners that a development stack starts, made anew at every start: a runner that has joined keeps its
 * secret, and the token makes the database know it, also one that is new.
 */
import { AdminRunnerToken } from "#protocol/runner-identity.ts";
import { callAdmin, type Listener } from "./admin-call.ts";

export async function joinTokenFor(admin: Listener, runner: string): Promise<string> {
  return (await callAdmin(admin, "/admin/v1/runner_tokens", { runner }, AdminRunnerToken)).token;
}
