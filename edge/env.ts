/** Bindings and configuration of the edge. Worker and objects read their settings only through `configOf`. */
import { z } from "zod";
import type { AccountSession } from "./account-session.ts";

const SECRET_CHARS_MIN = 32;
const CONTROL_PLANES_MAX = 16;

const Config = z
  .object({
    CONTROL_PLANE_URLS: z
      .string()
      .transform((list) => list.split(",").map((url) => url.trim()))
      .pipe(z.array(z.url({ protocol: /^https?$/ }).transform((url) => new URL(url).origin)).max(CONTROL_PLANES_MAX)),
    EDGE_SIGNING_SECRET: z.string().min(SECRET_CHARS_MIN),
    CALLSHEET_ENV: z.enum(["development", "staging", "production"]),
  })
  .transform((env) => ({
    controlPlanes: env.CONTROL_PLANE_URLS,
    signingSecret: env.EDGE_SIGNING_SECRET,
    environment: env.CALLSHEET_ENV,
  }));
export type Config = Readonly<z.infer<typeof Config>>;

/** The runtime hands every request of an isolate the same bindings. */
const known = new WeakMap<Cloudflare.Env, Config>();

export function configOf(env: Cloudflare.Env): Config {
  const config = known.get(env) ?? readConfig(env);
  known.set(env, config);
  return config;
}

/** Names of wrong settings are told, their values are not: one is a secret. */
function readConfig(env: Cloudflare.Env): Config {
  const read = Config.safeParse(env);
  if (read.success) return read.data;
  const faults = read.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
  throw new Error(`The edge is not configured: ${faults.join("; ")}`);
}

declare global {
  namespace Cloudflare {
    interface Env {
      readonly CONTROL_PLANE_URLS: string;
      readonly EDGE_SIGNING_SECRET: string;
      readonly CALLSHEET_ENV: string;
      readonly ACCOUNT_SESSION: DurableObjectNamespace<AccountSession>;
      /** Cloudflare's own counter; without it each isolate counts. */
      readonly IP_SHIELD?: RateLimit;
    }
    interface GlobalProps {
      mainModule: typeof import("./worker.ts");
    }
  }
}
