/**
 * The control plane's settings: parsed once, all faults together, frozen. The only reader of `process.env` here.
 *
 * Outside development it does not start with secrets that are short, guessable or shared (`protocol/secret.ts`). A fault
 * names its setting and never shows a value.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { secretFaults } from "#protocol/secret.ts";
import type { NamedSecrets } from "#protocol/secret.ts";

const ADMIN_TOKENS_MAX = 16;
/** The one that signs, and the one before it while a rotation lasts. */
const EDGE_SECRETS_MAX = 2;
/** A list may be written over several lines. */
const List = z.string().transform((text) => text.split(",").map((entry) => entry.trim()));

/** `token`, or `name:token,name:token`: the name stands in the audit log. */
const AdminTokens = List.pipe(z.array(z.string()).max(ADMIN_TOKENS_MAX)).transform((entries, context) =>
  entries.map((entry) => {
    const [, name = "admin", token = ""] = /^(?:([a-z0-9-]{1,32}):)?([^:\s]+)$/.exec(entry) ?? [];
    if (token === "") context.addIssue("must be tokens, each with a name before it: name:token,name:token");
    return { name, token };
  }),
);
/** Signs what standardwebhooks verifies. */
const HookSecret = z
  .string()
  .regex(/^whsec_[A-Za-z0-9+/]{32,}={0,2}$/, "must be whsec_ and 24 bytes or more in base64");
const Port = z.coerce.number().pipe(z.int().min(0).max(65_535));

const Config = z.object({
  CALLSHEET_ENV: z.enum(["development", "staging", "production"]),
  CALLSHEET_DATABASE_URL: z.string().min(1),
  CALLSHEET_PORT: Port,
  CALLSHEET_ADMIN_PORT: Port,
  CALLSHEET_HOST: z.string().default("127.0.0.1"),
  CALLSHEET_ADMIN_TOKEN: AdminTokens,
  /** `new,old` while it is rotated: the first signs, both are accepted. */
  CALLSHEET_EDGE_SECRET: List.pipe(z.array(z.string()).min(1).max(EDGE_SECRETS_MAX)),
  CALLSHEET_EDGE_URL: z.url(),
  /** Where runners reach this replica's store; base of the URLs that they get. */
  CALLSHEET_PUBLIC_URL: z.url(),
  /** A folder, or a bucket with what opens it. */
  CALLSHEET_STORE_DIR: z.string().optional(),
  CALLSHEET_STORE_BUCKET: z.string().optional(),
  /** Of R2, MinIO and the like; none: AWS. */
  CALLSHEET_STORE_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
  CALLSHEET_STORE_REGION: z.string().default("auto"),
  CALLSHEET_STORE_ACCESS_KEY_ID: z.string().optional(),
  CALLSHEET_STORE_SECRET_ACCESS_KEY: z.string().optional(),
  /** Whether runners reach the bucket themselves. */
  CALLSHEET_STORE_DIRECT: z.enum(["yes", "no"]).default("no"),
  CALLSHEET_STORE_SECRET: z.string(),
  /** Who judges prompts and results; both or none. */
  CALLSHEET_MODERATION_URL: z.url({ protocol: /^https?$/ }).optional(),
  CALLSHEET_MODERATION_SECRET: HookSecret.optional(),
  CALLSHEET_WEBHOOK_PRIVATE: z.enum(["allow", "refuse"]).default("refuse"),
  CALLSHEET_LOG: z.enum(["trace", "debug", "info", "warn", "error", "fatal"]).default("info"),
});
export type Config = Readonly<z.infer<typeof Config>>;

export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  // An empty variable means "not set".
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ""));
  const parsed = Config.safeParse(given);
  const faults = [
    ...(parsed.error?.issues ?? []).map((issue) => `${issue.path.join(".")}: ${issue.message}`),
    ...secretFaults(secretsIn(given), given["CALLSHEET_ENV"] === "development"),
    ...halfHook(given),
    ...halfStore(given),
  ];
  if (!parsed.success || faults.length > 0) {
    throw new Error(`The control plane's settings are not valid:\n  ${faults.join("\n  ")}`);
  }
  return Object.freeze(parsed.data);
}

/** Looked at even where another setting is wrong, so that all faults are told at once. */
function secretsIn(given: NodeJS.ProcessEnv): NamedSecrets {
  const tokens = AdminTokens.safeParse(given["CALLSHEET_ADMIN_TOKEN"]);
  const edge = List.safeParse(given["CALLSHEET_EDGE_SECRET"]);
  const store = given["CALLSHEET_STORE_SECRET"];
  const hook = given["CALLSHEET_MODERATION_SECRET"];
  return {
    CALLSHEET_ADMIN_TOKEN: tokens.success ? tokens.data.map(({ token }) => token) : [],
    CALLSHEET_EDGE_SECRET: edge.success ? edge.data : [],
    CALLSHEET_STORE_SECRET: store === undefined ? [] : [store],
    CALLSHEET_MODERATION_SECRET: hook === undefined ? [] : [hook],
  };
}

function halfHook(given: NodeJS.ProcessEnv): readonly string[] {
  const { CALLSHEET_MODERATION_URL: url, CALLSHEET_MODERATION_SECRET: secret } = given;
  if ((url === undefined) === (secret === undefined)) return [];
  return ["CALLSHEET_MODERATION_URL, CALLSHEET_MODERATION_SECRET: set both, or none"];
}

function halfStore(given: NodeJS.ProcessEnv): readonly string[] {
  const { CALLSHEET_STORE_DIR: folder, CALLSHEET_STORE_BUCKET: bucket } = given;
  if ((folder === undefined) === (bucket === undefined)) {
    return ["CALLSHEET_STORE_DIR, CALLSHEET_STORE_BUCKET: set one of them"];
  }
  if (bucket === undefined && given["CALLSHEET_STORE_DIRECT"] === "yes") {
    return ["CALLSHEET_STORE_DIRECT: only a CALLSHEET_STORE_BUCKET can be reached directly"];
  }
  const { CALLSHEET_STORE_ACCESS_KEY_ID: id, CALLSHEET_STORE_SECRET_ACCESS_KEY: secret } = given;
  if (bucket === undefined || (id !== undefined && secret !== undefined)) return [];
  return ["CALLSHEET_STORE_ACCESS_KEY_ID, CALLSHEET_STORE_SECRET_ACCESS_KEY: both are needed for a bucket"];
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
