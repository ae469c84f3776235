/** Bindings and configuration of the edge. Worker and objects read their settings only through `readConfig`. */
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

/** The bindings of an isolate are one object: its settings are read once. */
const configs = new WeakMap<Cloudflare.Env, Config>();

/** Names of wrong settings are told, their values are not: one is a secret. */
export function readConfig(env: Cloudflare.Env): Config {
  const known = configs.get(env);
  if (known !== undefined) return known;
  const read = Config.safeParse(env);
  if (read.success) {
    configs.set(env, read.data);
    return read.data;
  }
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
    }
    interface GlobalProps {
      mainModule: typeof import("./worker.ts");
    }
  }
}
