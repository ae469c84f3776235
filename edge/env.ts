/**
 * Bindings and configuration of the edge. Worker and objects read their settings only through `configOf`. A Worker cannot
 * refuse to start: with a wrong setting, or outside development a guessable secret, it refuses every call, `/healthz` too.
 */
import { z } from "zod";
import { secretFaults } from "#protocol/secret.ts";
import type { AccountSession } from "./account-session.ts";

const SIGNING_SECRETS_MAX = 2;
const CONTROL_PLANES_MAX = 16;
const List = z.string().transform((list) => list.split(",").map((entry) => entry.trim()));
const Origins = List.pipe(z.array(z.url({ protocol: /^https?$/ }).transform((url) => new URL(url).origin)));
const ORIGINS_MAX = 100;

const Config = z
  .object({
    CONTROL_PLANE_URLS: Origins.pipe(z.array(z.string()).max(CONTROL_PLANES_MAX)),
    /** `new,old` while it is rotated: the first signs, both are accepted. */
    EDGE_SIGNING_SECRET: List.pipe(z.array(z.string()).min(1).max(SIGNING_SECRETS_MAX)),
    CALLSHEET_ENV: z.enum(["development", "staging", "production"]),
    /** Where pages with live sessions may come from; unset: from anywhere, as far as their tickets allow. */
    ALLOWED_ORIGINS: Origins.pipe(z.array(z.string()).max(ORIGINS_MAX)).nullish(),
  })
  .transform((env) => ({
    controlPlanes: env.CONTROL_PLANE_URLS,
    signingSecret: env.EDGE_SIGNING_SECRET[0] ?? "",
    signingSecrets: env.EDGE_SIGNING_SECRET,
    environment: env.CALLSHEET_ENV,
    allowedOrigins: env.ALLOWED_ORIGINS ?? null,
  }));
export type Config = Readonly<z.infer<typeof Config>>;

/** The runtime hands every request of an isolate the same bindings. */
const known = new WeakMap<Cloudflare.Env, Config>();

export function configOf(env: Cloudflare.Env): Config {
  const config = known.get(env) ?? readConfig(env);
  known.set(env, config);
  return config;
}

type Settings = Pick<Cloudflare.Env, "CONTROL_PLANE_URLS" | "EDGE_SIGNING_SECRET" | "CALLSHEET_ENV">;

/** Names of wrong settings are told, their values are not: one is a secret. */
export function readConfig(env: Settings): Config {
  const read = Config.safeParse(env);
  const secrets = List.safeParse(env.EDGE_SIGNING_SECRET);
  const faults = [
    ...(read.error?.issues ?? []).map((issue) => `${issue.path.join(".")}: ${issue.message}`),
    ...secretFaults({ EDGE_SIGNING_SECRET: secrets.data ?? [] }, env.CALLSHEET_ENV === "development"),
  ];
  if (read.success && faults.length === 0) return read.data;
  throw new Error(`The edge is not configured: ${faults.join("; ")}`);
}

declare global {
  namespace Cloudflare {
    interface Env {
      readonly CONTROL_PLANE_URLS: string;
      readonly EDGE_SIGNING_SECRET: string;
      readonly CALLSHEET_ENV: string;
      readonly ALLOWED_ORIGINS?: string | null;
      readonly ACCOUNT_SESSION: DurableObjectNamespace<AccountSession>;
      /** Cloudflare's own counter; without it each isolate counts. */
      readonly IP_SHIELD?: RateLimit;
    }
    interface GlobalProps {
      mainModule: typeof import("./worker.ts");
    }
  }
}
