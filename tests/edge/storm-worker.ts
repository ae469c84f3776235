/**
 * The real Worker with two doors for `npm run sessions:storm`: an object's birth is written down, so that evictions can be
 * counted, and an object can be aborted. Bundled for the storm only; nothing that is deployed has it.
 */
import { AccountSession as Real } from "#edge/account-session.ts";
import app from "#edge/worker.ts";

console.log("storm began");

export class AccountSession extends Real {
  constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
    super(ctx, env);
    console.log(`storm born ${ctx.id.toString()}`);
  }

  async breakDown(): Promise<void> {
    console.log(`storm aborted ${this.ctx.id.toString()}`);
    this.ctx.abort("a fault of the storm");
  }
}

export default {
  async fetch(request: Request, env: Cloudflare.Env, ctx: ExecutionContext): Promise<Response> {
    const account = /^\/storm\/abort\/(acct_[0-9a-z]{16})$/.exec(new URL(request.url).pathname)?.[1];
    if (account === undefined) return app.fetch(request, env, ctx);
    const object = env.ACCOUNT_SESSION.getByName(account) as DurableObjectStub<AccountSession>;
    // The call ends with the object.
    await object.breakDown().catch(() => undefined);
    return new Response("aborted");
  },
};
