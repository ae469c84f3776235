/** The control plane's settings: parsed once, all faults together, frozen. The only reader of `process.env` here. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";

const Secret = z.string().min(16, "must have at least 16 characters");
const Port = z.coerce.number().pipe(z.int().min(0).max(65_535));

const Config = z.object({
  CALLSHEET_ENV: z.enum(["development", "staging", "production"]),
  CALLSHEET_DATABASE_URL: z.string().min(1),
  CALLSHEET_PORT: Port,
  CALLSHEET_ADMIN_PORT: Port,
  CALLSHEET_HOST: z.string().default("127.0.0.1"),
  CALLSHEET_ADMIN_TOKEN: Secret,
  CALLSHEET_RUNNER_TOKEN: Secret,
  CALLSHEET_EDGE_SECRET: Secret,
  CALLSHEET_EDGE_URL: z.url(),
  /** Where runners reach this replica's store; base of the URLs that they get. */
  CALLSHEET_PUBLIC_URL: z.url(),
  CALLSHEET_STORE_DIR: z.string().min(1),
  CALLSHEET_STORE_SECRET: Secret,
  CALLSHEET_WEBHOOK_PRIVATE: z.enum(["allow", "refuse"]).default("refuse"),
  CALLSHEET_LOG: z.enum(["trace", "debug", "info", "warn", "error", "fatal"]).default("info"),
});
export type Config = Readonly<z.infer<typeof Config>>;

export function readConfig(): Config {
  const parsed = Config.safeParse(process.env);
  if (!parsed.success) throw new Error(`The control plane's settings are not valid.\n${z.prettifyError(parsed.error)}`);
  return Object.freeze(parsed.data);
}

const DevFile = z.object({ database_url: z.string() });

/** The database that an audit by hand looks at: the one that is named, or that of the stack running here. */
export function auditedDatabase(): string {
  const { CALLSHEET_DATABASE_URL: named, CALLSHEET_HOME: home = ".callsheet" } = process.env;
  if (named !== undefined && named !== "") return named;
  const file = join(home, "dev.json");
  try {
    return DevFile.parse(JSON.parse(readFileSync(file, "utf8"))).database_url;
  } catch (error) {
    throw new Error(`Set CALLSHEET_DATABASE_URL: no stack runs here (${file} cannot be read).`, { cause: error });
  }
}
