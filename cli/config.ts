/** What `npm start` is told: environment and command line. All faults are reported together. */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { z } from "zod";

export const ROOT = fileURLToPath(new URL("..", import.meta.url)).replace(/\/$/, "");

const RUNNERS_MAX = 32;
const REPLICAS_MAX = 8;

const port = (fallback: number) => z.coerce.number().pipe(z.int().min(0).max(65_535)).default(fallback);
const count = (min: number, max: number, fallback: number) =>
  z.coerce.number().pipe(z.int().min(min).max(max)).default(fallback);

/** One entry a runner, the first for `runner-1`: devices, memory of each in GB, and slots of each: `2x80gb/2,1x24gb`. */
const DeviceList = z.string().transform((text, context) =>
  text.split(",").map((entry) => {
    const [, devices, vramGb, slots = "1"] = /^(\d+)x(\d+(?:\.\d+)?)gb(?:\/(\d+))?$/.exec(entry.trim()) ?? [];
    if (devices === undefined || vramGb === undefined) {
      context.addIssue(`"${entry}" does not say DEVICESxMEMORYgb[/SLOTS], as 2x80gb/2`);
      return z.NEVER;
    }
    return { devices: Number(devices), vramGb: Number(vramGb), slots: Number(slots) };
  }),
);

const Environment = z
  .object({
    CALLSHEET_EDGE_PORT: port(8787),
    CALLSHEET_ADMIN_PORT: port(8788),
    CALLSHEET_RUNNERS: count(0, RUNNERS_MAX, 2),
    CALLSHEET_RUNNER_DEVICES: DeviceList.default([]),
    CALLSHEET_REPLICAS: count(1, REPLICAS_MAX, 1),
    CALLSHEET_DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
    CALLSHEET_HOME: z.string().optional(),
    /** Each write there is waited for, by all that the edge does. */
    CALLSHEET_EDGE_OBJECTS_DIR: z.string().optional(),
    CALLSHEET_LOG: z.string().default("info"),
    CALLSHEET_ENGINE: z.enum(["reference", "diffusers", "openai-video"]).default("reference"),
    CALLSHEET_MODEL_FILE: z.string().optional(),
    /** npm runs scripts in the package's folder; this is where the user stood. */
    INIT_CWD: z.string().optional(),
    npm_lifecycle_event: z.string().optional(),
  })
  .refine(({ CALLSHEET_RUNNERS, CALLSHEET_RUNNER_DEVICES }) => CALLSHEET_RUNNER_DEVICES.length <= CALLSHEET_RUNNERS, {
    path: ["CALLSHEET_RUNNER_DEVICES"],
    error: "describes more runners than CALLSHEET_RUNNERS starts",
  });

const Flags = z.object({
  model: z.string().optional(),
  size: z.string().optional(),
  seconds: z.string().optional(),
  seed: z.string().optional(),
  output: z.string().optional(),
  help: z.boolean().default(false),
});

export interface PromptRequest {
  readonly prompt: string;
  /** Form fields as the user gave them; the API checks them. */
  readonly fields: Readonly<Record<string, string>>;
  readonly outputDir: string;
  readonly outputFile: string | null;
}

export interface RunnerDevices {
  readonly devices: number;
  readonly vramGb: number;
  readonly slots: number;
}

export interface Config {
  readonly home: string;
  /** Of the edge's SQLite files. */
  readonly objectsDir: string;
  readonly edgePort: number;
  readonly adminPort: number;
  readonly runners: number;
  /** What the first runners declare; the others have one device, as large as the host allows. */
  readonly runnerDevices: readonly RunnerDevices[];
  readonly replicas: number;
  readonly databaseUrl: string | null;
  readonly logLevel: string;
  /** Of every runner. */
  readonly engine: "reference" | "diffusers" | "openai-video";
  readonly modelFile: string | null;
  readonly request: PromptRequest | null;
  readonly help: boolean;
  /** The environment children inherit. */
  readonly inherited: NodeJS.ProcessEnv;
}

export const HELP = `Usage: npm start [-- "prompt" [--model M] [--size 1280x720] [--seconds 4] [--seed N] [-o FILE]]

Starts PostgreSQL, the control plane, the edge and the runners on this machine. With a prompt it also renders
that video, saves it and stops. Variables: CALLSHEET_EDGE_PORT, CALLSHEET_ADMIN_PORT, CALLSHEET_RUNNERS,
CALLSHEET_RUNNER_DEVICES (as 2x80gb/2,1x24gb: devices, memory, slots of each runner), CALLSHEET_REPLICAS,
CALLSHEET_DATABASE_URL, CALLSHEET_HOME, CALLSHEET_EDGE_OBJECTS_DIR, CALLSHEET_LOG; CALLSHEET_ENGINE and CALLSHEET_MODEL_FILE (docs/engines.md).`;

/** Throws one error that lists everything wrong. */
export function readConfig(argv: readonly string[], env: NodeJS.ProcessEnv, cwd: string): Config {
  // An empty variable means "not set": shells and CI files cannot always unset one.
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== ""));
  const parsed = Environment.safeParse(given);
  if (!parsed.success) {
    const faults = parsed.error.issues.map((issue) => `${issue.path.join(".")}: ${issue.message}`);
    throw new Error(`The environment is not valid:\n  ${faults.join("\n  ")}`);
  }
  const variables = parsed.data;
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      model: { type: "string" },
      size: { type: "string" },
      seconds: { type: "string" },
      seed: { type: "string" },
      output: { type: "string", short: "o" },
      help: { type: "boolean", short: "h" },
    },
  });
  const { help, output, ...fields } = Flags.parse(values);
  const prompt = positionals.join(" ");
  const userDir = variables.npm_lifecycle_event === "start" ? (variables.INIT_CWD ?? cwd) : cwd;
  const { CALLSHEET_HOME, CALLSHEET_EDGE_OBJECTS_DIR: objectsDir } = variables;
  const home = CALLSHEET_HOME === undefined ? resolve(ROOT, ".callsheet") : resolve(cwd, CALLSHEET_HOME);
  return {
    home,
    objectsDir: objectsDir === undefined ? resolve(home, "edge", "objects") : resolve(cwd, objectsDir),
    edgePort: variables.CALLSHEET_EDGE_PORT,
    adminPort: variables.CALLSHEET_ADMIN_PORT,
    runners: variables.CALLSHEET_RUNNERS,
    runnerDevices: variables.CALLSHEET_RUNNER_DEVICES,
    replicas: variables.CALLSHEET_REPLICAS,
    databaseUrl: variables.CALLSHEET_DATABASE_URL ?? null,
    logLevel: variables.CALLSHEET_LOG,
    engine: variables.CALLSHEET_ENGINE,
    modelFile: variables.CALLSHEET_MODEL_FILE === undefined ? null : resolve(userDir, variables.CALLSHEET_MODEL_FILE),
    request:
      positionals.length === 0
        ? null
        : {
            prompt,
            fields: z.record(z.string(), z.string()).parse(fields),
            outputDir: userDir,
            outputFile: output === undefined ? null : resolve(userDir, output),
          },
    help,
    inherited: env,
  };
}
