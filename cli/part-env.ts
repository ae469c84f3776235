/** The environment of each Node program in a development stack: the only place that names their variables. */
import { join } from "node:path";
import type { Config } from "./config.ts";
import type { Secrets } from "./home.ts";

export interface Ports {
  readonly edge: number;
  readonly postgres: number;
  /** One entry a replica. */
  readonly controlPlanes: readonly { readonly main: number; readonly admin: number }[];
}

export function controlPlaneEnv(
  config: Config,
  secrets: Secrets,
  home: string,
  ports: Ports,
  databaseUrl: string,
  replica: number,
): NodeJS.ProcessEnv {
  const own = ports.controlPlanes[replica];
  return {
    ...config.inherited,
    NODE_COMPILE_CACHE: compileCache(home),
    CALLSHEET_DATABASE_URL: databaseUrl,
    CALLSHEET_PORT: String(own?.main),
    CALLSHEET_ADMIN_PORT: String(own?.admin),
    CALLSHEET_ADMIN_TOKEN: secrets.admin_token,
    CALLSHEET_EDGE_SECRET: secrets.edge_secret,
    CALLSHEET_EDGE_URL: `http://127.0.0.1:${ports.edge}`,
    CALLSHEET_PUBLIC_URL: `http://127.0.0.1:${own?.main}`,
    ...(config.inherited["CALLSHEET_STORE_BUCKET"] ? {} : { CALLSHEET_STORE_DIR: join(home, "store") }),
    CALLSHEET_STORE_SECRET: secrets.store_secret,
    CALLSHEET_ENV: "development",
    CALLSHEET_WEBHOOK_PRIVATE: "allow",
    CALLSHEET_LOG: config.logLevel,
  };
}

/** `index` counts runners from 0. An empty `joinToken`: the runner has joined before. */
export function runnerEnv(
  config: Config,
  joinToken: string,
  home: string,
  ports: Ports,
  id: string,
  index: number,
): NodeJS.ProcessEnv {
  const declared = config.runnerDevices[index];
  return {
    ...config.inherited,
    NODE_COMPILE_CACHE: compileCache(home),
    CALLSHEET_CONTROL_PLANE_URLS: ports.controlPlanes.map((replica) => `http://127.0.0.1:${replica.main}`).join(","),
    CALLSHEET_ENV: "development",
    CALLSHEET_RUNNER_JOIN_TOKEN: joinToken,
    CALLSHEET_RUNNER_ID: id,
    CALLSHEET_RUNNER_DIR: join(home, "runners", id),
    CALLSHEET_DEVICES: String(declared?.devices ?? 1),
    CALLSHEET_DEVICE_VRAM_GB: declared === undefined ? undefined : String(declared.vramGb),
    CALLSHEET_DEVICE_SLOTS: String(declared?.slots ?? 1),
    CALLSHEET_ENGINE: config.engine,
    CALLSHEET_MODEL_FILE: config.modelFile ?? undefined,
    CALLSHEET_ENGINE_FAULTS: "allow",
    CALLSHEET_LOG: config.logLevel,
  };
}

/** Compiled modules: a part that died is back in half the time. */
function compileCache(home: string): string {
  return join(home, "compile-cache");
}
