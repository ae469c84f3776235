/** The first step of every call with a key: who is it, and may it call now? One RPC to the account's object, or a call that it lent. */
import { refuse } from "../answer.ts";
import type { EdgeContext } from "../app.ts";
import { type CallerRead, readCaller } from "../caller.ts";
import { callsWaiting } from "../control-plane-call.ts";
import { begin } from "../in-hand.ts";
import { shieldRefusal } from "../ip-shield.ts";
import { askFor, keepLent, takeLent } from "../lent-calls.ts";
import { SHED } from "../refusals.ts";
import type { Admitted, AdmittedCreate } from "../session/call-desk.ts";

type Handler = (c: EdgeContext) => Promise<Response>;

export function authorized(handler: Handler): Handler {
  return async (c) => {
    const authorization = c.req.raw.headers.get("authorization") ?? "";
    const lent = takeLent(authorization, Date.now());
    if (lent !== null) {
      c.set("caller", lent.caller);
      c.set("rates", lent.rates);
      return handler(c);
    }
    const read = await identify(c);
    if (!read.ok) return refuse(c, read.refusal);
    const { account, key } = read.caller;
    c.set("caller", read.caller);
    const asked = askFor(authorization, Date.now());
    const object = sessionOf(c);
    const admitted = await begin<Admitted>("other", account, callsWaiting(), async () =>
      object.admit(account, key, asked),
    );
    if (admitted === null) return refuse(c, SHED);
    if (admitted.refusal !== null) {
      if (admitted.rates !== null) c.set("rates", admitted.rates);
      return refuse(c, admitted.refusal);
    }
    c.set("rates", keepLent(authorization, read.caller, admitted.rates, admitted.calls, Date.now()));
    return handler(c);
  };
}

/** The same for a create, before its body is read. */
export async function admitCreate(c: EdgeContext): Promise<AdmittedCreate> {
  const read = await identify(c);
  if (!read.ok) return { rates: null, refusal: read.refusal };
  const { account, key } = read.caller;
  c.set("caller", read.caller);
  const object = sessionOf(c);
  const admitted = await begin<AdmittedCreate>("create", account, callsWaiting(), async () =>
    object.admitCreate(account, key),
  );
  if (admitted === null) return { rates: null, refusal: SHED };
  if (admitted.rates !== null) c.set("rates", admitted.rates);
  return admitted;
}

export async function identify(c: EdgeContext): Promise<CallerRead> {
  return shielded(c, await readCaller(c.req.raw.headers));
}

/** What comes without a key that could be one is counted by the address it comes from. */
export async function shielded<Known extends { readonly ok: true }>(
  c: EdgeContext,
  read: Known | Extract<CallerRead, { ok: false }>,
): Promise<Known | Extract<CallerRead, { ok: false }>> {
  if (read.ok) return read;
  return { ok: false, refusal: (await shieldRefusal(c.req.raw, c.env.IP_SHIELD, Date.now())) ?? read.refusal };
}

/** The caller's object. */
export function sessionOf(c: EdgeContext) {
  return c.env.ACCOUNT_SESSION.getByName(c.get("caller").account);
}
