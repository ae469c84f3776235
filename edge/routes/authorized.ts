/** The first step of every call with a key: who is it, and may it call now? One RPC to the account's object. */
import type { AdmittedCreate } from "../account-session.ts";
import { refuse } from "../answer.ts";
import type { EdgeContext } from "../app.ts";
import { readCaller } from "../caller.ts";
import { callsWaiting } from "../control-plane-call.ts";
import { begin } from "../in-hand.ts";
import { SHED } from "../refusals.ts";

type Handler = (c: EdgeContext) => Promise<Response>;

export function authorized(handler: Handler): Handler {
  return async (c) => {
    const read = await readCaller(c.req.raw.headers);
    if (!read.ok) return refuse(c, read.refusal);
    const { account, key } = read.caller;
    c.set("caller", read.caller);
    const object = c.env.ACCOUNT_SESSION.getByName(account);
    const admitted = await begin("other", account, callsWaiting(), () => object.admit(account, key));
    if (admitted === null) return refuse(c, SHED);
    c.set("extraHeaders", admitted.headers);
    return admitted.refusal === null ? handler(c) : refuse(c, admitted.refusal);
  };
}

/** A create is admitted before its body is read: a flood of bodies is refused by its headers. */
export async function admitCreate(c: EdgeContext): Promise<AdmittedCreate> {
  const read = await readCaller(c.req.raw.headers);
  if (!read.ok) return { headers: {}, refusal: read.refusal };
  const { account, key } = read.caller;
  c.set("caller", read.caller);
  const object = c.env.ACCOUNT_SESSION.getByName(account);
  const admitted = await begin<AdmittedCreate>("create", account, callsWaiting(), async () =>
    object.admitCreate(account, key),
  );
  if (admitted === null) return { headers: {}, refusal: SHED };
  c.set("extraHeaders", admitted.headers);
  return admitted;
}
